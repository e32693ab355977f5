import { h } from '../element.js';
import { scoreBars } from './score-bars.js';

/** Whatever an answer looks like: labels with scores, a text, or a vector's size; null where it is none of these. */
export function byShape(body) {
  const flat = Array.isArray(body) && Array.isArray(body[0]) ? body[0] : [body].flat();
  if (flat.length && flat.every((each) => typeof each?.score === 'number')) {
    const name = (each) => String(each.label ?? each.choice ?? each.answer ?? each.word ?? '');
    if (flat.every(name)) return scoreBars(flat.map((each) => ({ name: name(each), score: each.score })), 'Scores');
  }
  const text = flat[0]?.generated_text ?? flat[0]?.text;
  if (typeof text === 'string') return h('p', { class: 'written' }, text);
  if (typeof flat[0] === 'number') return h('p', { class: 'hint' }, `A vector of ${flat.length} numbers.`);
  return null;
}
