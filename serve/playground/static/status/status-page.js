import { h } from '../element.js';
import { counted } from '../number-text.js';
import { get } from '../service.js';
import { History } from './history.js';
import { modelCard } from './model-card.js';

const EVERY_MS = 3000; // as often as replicas export
const history = new History(); // stays while one looks at a task

/**
 * What every model does now. Asks the service every few seconds while it is shown and the tab is looked at.
 * @param {Object[]} served  tasks with their models
 * @returns {{element: Node, enter: function(): function()}} `enter` begins to ask, and gives what ends it
 */
export function statusPage(served) {
  const cards = new Map(served.flatMap(({ task, models }) => models.map(({ id }) => [id, modelCard(id, task)])));
  const summary = h('p', { class: 'lead' }, 'Asking …');
  const trouble = h('p', { class: 'error-words', role: 'alert' });
  const showFigures = () => cards.forEach((card, model) => card.showFigures(history.of(model)));

  async function refresh() {
    if (document.hidden) return;
    try {
      const ready = await (await get('/health/ready')).json();
      Object.entries(ready.models).forEach(([model, state]) => cards.get(model)?.showState(state));
      const states = Object.values(ready.models);
      const count = states.filter(({ state }) => state === 'ready' || state === 'idle').length;
      await history.scrape(); // behind the states, which need no key
      const rate = [...cards.keys()].reduce((sum, model) => sum + (history.of(model).at(-1)?.rate ?? 0), 0);
      const said = `${count} of ${counted(states.length, 'model')} ready · ${rate.toFixed(1)} requests/s`;
      if (summary.textContent !== said) summary.textContent = said;
      showFigures();
      trouble.textContent = '';
    } catch (error) {
      trouble.textContent = error.message;
    }
  }

  function enter() {
    showFigures();
    refresh();
    const clock = setInterval(refresh, EVERY_MS);
    return () => clearInterval(clock);
  }
  return {
    element: h('div', { class: 'status-page' }, h('h1', {}, 'Status'), summary, trouble,
      h('ul', { class: 'model-cards' }, [...cards.values()].map(({ element }) => element)),
      h('p', { class: 'hint' }, 'From /metrics and /health/ready, every three seconds; the charts go back three minutes.')),
    enter,
  };
}
