import { h } from '../element.js';

/** The text of a recording, and under it when each part of it was said: pressing a part plays from there. */
export function transcript(body, player) {
  const { text, chunks } = [body].flat()[0];
  const parts = (chunks ?? []).map((chunk) => {
    const [from, to] = chunk.timestamp;
    const button = h('button', { type: 'button', class: 'spoken', onclick: () => player?.playFrom(from ?? 0) },
      h('span', { class: 'spoken-text' }, chunk.text.trim()), h('span', { class: 'spoken-time' }, `${second(from)} – ${second(to)}`));
    player?.onTime((now) => button.classList.toggle('is-now', now > 0 && now >= from && now < (to ?? Infinity)));
    return h('li', {}, button);
  });
  return h('div', { class: 'stack' },
    h('p', { class: 'written' }, text.trim() || h('span', { class: 'hint' }, 'Nothing was heard.')),
    parts.length > 0 && h('ol', { class: 'spoken-list', 'aria-label': 'Parts with their times in seconds' }, parts));
}

function second(value) {
  return value == null ? '…' : `${value.toFixed(2)} s`;
}
