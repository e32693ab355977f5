import { h } from '../element.js';
import { percent } from '../number-text.js';
import { characters } from './characters.js';
import { scoreBars } from './score-bars.js';

/** The answer, and where it stands in its context; others below it where more were asked for. */
export function markedAnswer(body, context) {
  const answers = [body].flat();
  const [best] = answers;
  if (!best?.answer) return h('p', { class: 'hint' }, 'The context does not answer this question.');
  const letters = characters(context);
  const part = (from, to) => letters.slice(from, to).join('');
  return h('div', { class: 'stack' },
    h('p', { class: 'big-answer' }, best.answer, h('span', { class: 'score' }, percent(best.score))),
    h('blockquote', { class: 'context' }, part(0, best.start), h('mark', {}, part(best.start, best.end)), part(best.end)),
    answers.length > 1 && scoreBars(answers.map(({ answer, score }) => ({ name: answer || '(no answer)', score })), 'Answers'));
}
