import { h } from '../element.js';
import { scoreBars } from './score-bars.js';

const MASK = /\[MASK\]|<mask>/;

/** Candidates for every blank of a text; pressing one puts it into the sentence. */
export function fillings(body, text) {
  const blanks = Array.isArray(body[0]) ? body : [body];
  const parts = text.split(MASK);
  const words = blanks.map((candidates) => h('mark', {}, candidates[0].token_str.trim()));
  const sentence = h('p', { class: 'sentence', 'aria-live': 'polite' }, parts.map((part, index) => [part, words[index]]));

  const candidate = ({ token_str: word, score }, blank) => {
    const put = () => (words[blank].textContent = word.trim());
    return { name: h('button', { type: 'button', class: 'word', onclick: put, title: 'Put it into the sentence' }, word.trim()), score };
  };
  const lists = blanks.map((candidates, blank) =>
    scoreBars(candidates.map((each) => candidate(each, blank)), blanks.length > 1 ? `Words for blank ${blank + 1}` : 'Words'));
  return h('div', { class: 'stack' }, sentence, lists);
}
