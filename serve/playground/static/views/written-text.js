import { h } from '../element.js';
import { counted, duration } from '../number-text.js';

/**
 * Text that a model writes: as it comes, token by token, or all at once.
 * @param {string} before  what it goes on from
 */
export function writtenText(before = '') {
  const texts = [];
  const facts = h('p', { class: 'facts' });
  const box = h('div', { class: 'stack' });
  const element = h('div', { class: 'stack' }, box, facts);
  const times = [];

  function textOf(choice) {
    if (!texts[choice]) {
      texts[choice] = h('span', { class: 'new-text' });
      box.append(h('p', { class: 'written' }, before && h('span', { class: 'old-text' }, before), texts[choice]));
    }
    return texts[choice];
  }

  /** Tokens of a stream after the first, by the time they took. */
  const rate = () => (times.length > 1 ? `${(((times.length - 1) * 1000) / (times.at(-1) - times[0])).toFixed(1)} tokens/s` : '');
  const tell = (...others) =>
    (facts.textContent = [counted(times.length, 'token'), rate(), times.length && `first after ${duration(times[0])}`, ...others].filter(Boolean).join(' · '));

  return {
    element,
    /** One event of a stream, and the milliseconds since it was asked for. */
    add: (event, elapsed) => {
      if (!event.token) return;
      times.push(elapsed);
      textOf(event.choice ?? 0).append(event.token.special ? '' : event.token.text);
      element.classList.add('is-writing');
      tell();
    },
    /** The stream is over; `why` is said where it did not end by itself. */
    end: (why) => {
      element.classList.remove('is-writing');
      tell(why);
    },
    /** All texts at once. */
    show: (written, tokens) => {
      written.forEach((text, choice) => textOf(choice).append(typeof text === 'string' ? text : text.at(-1).content));
      facts.textContent = tokens ? counted(Number(tokens), 'token') : '';
    },
  };
}
