import { h } from '../element.js';
import { percent } from '../number-text.js';

/**
 * Names with their scores as bars, in the order given.
 * @param {{name: (string|Node), score: number}[]} entries  scores are shares of 1; others are shown as numbers
 * @param {string} label  what the list is of
 */
export function scoreBars(entries, label) {
  const areShares = entries.every(({ score }) => score >= 0 && score <= 1.0001);
  const most = areShares ? 1 : Math.max(...entries.map(({ score }) => Math.abs(score)));
  const line = ({ name, score }, index) =>
    h('li', { class: index ? '' : 'is-best' },
      h('span', { class: 'bar-name' }, name),
      h('span', { class: 'bar-score' }, areShares ? percent(score) : score.toPrecision(4)),
      h('span', { class: 'bar', 'aria-hidden': 'true' }, h('span', { style: { width: `${(Math.abs(score) / most) * 100}%` } })));
  return h('ol', { class: 'score-bars', 'aria-label': label }, entries.map(line));
}
