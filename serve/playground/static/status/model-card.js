import { h } from '../element.js';
import { percent } from '../number-text.js';
import { POINTS } from './history.js';
import { lineChart } from './line-chart.js';

const STAGES = ['waiting', 'loading', 'checking', 'warming', 'ready'];
const CHARTS = [
  { title: 'Requests/s', lines: ['rate'], least: 1, text: ({ rate }) => rate.toFixed(1) },
  { title: 'p50 · p99', lines: ['p50', 'p99'], least: 0.005, text: ({ p50, p99 }) => (p50 === null ? '–' : `${brief(p50)} · ${brief(p99)}`) },
  { title: 'Batch', lines: ['rows'], least: 2, text: ({ rows }) => (rows === null ? '–' : `${rows.toFixed(1)} rows`) },
  { title: 'Padding', lines: ['padding'], least: 0.1, text: ({ padding }) => (padding === null ? '–' : percent(padding)) },
  { title: 'Queue', lines: ['waiting'], least: 2, text: ({ waiting }) => String(waiting) },
];

function brief(seconds) {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

/**
 * One model: its state, and its figures as moving charts.
 * @returns {{element: Node, showState: function(Object), showFigures: function(Object[])}}
 */
export function modelCard(model, task) {
  const state = h('span', { class: 'state' });
  const detail = h('span', { class: 'state-detail' });
  const steps = h('span', { class: 'steps', 'aria-hidden': 'true' }, STAGES.map(() => h('span')));
  const charts = CHARTS.map(({ title, lines, least, text }) => {
    const value = h('dd', {}, '–');
    const chart = lineChart(POINTS, lines.length, least);
    const show = (figures) => {
      value.textContent = text(figures.at(-1));
      chart.draw(lines.map((line) => figures.map((each) => each[line])));
    };
    return { element: h('div', { class: 'figure' }, h('dt', {}, title), value, chart.element), show };
  });
  return {
    element: h('li', { class: 'card model-card' },
      h('div', { class: 'model-head' }, h('h2', {}, h('a', { href: `#${task}/${model}` }, model)), h('span', { class: 'task-name' }, task),
        h('span', { class: 'state-line' }, steps, state, detail)),
      h('dl', { class: 'figures' }, charts.map(({ element }) => element))),
    showState: ({ state: name, replicas, progress, reason }) => {
      state.textContent = name;
      state.className = `state is-${name}`;
      const at = STAGES.indexOf(name === 'downloading' ? 'loading' : name === 'idle' ? 'ready' : name);
      [...steps.children].forEach((step, index) => step.classList.toggle('is-done', index <= at));
      detail.textContent = progress ?? reason ?? (replicas === 1 ? '' : `${replicas} replicas`);
    },
    showFigures: (figures) => figures.length && charts.forEach(({ show }) => show(figures)),
  };
}
