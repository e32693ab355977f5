import { h } from '../element.js';
import { percent } from '../number-text.js';
import { characters } from './characters.js';

const HUES = [210, 28, 150, 330, 265, 48, 185, 0, 95, 300];

/** The text with its entities coloured where they stand, and a list of them with their scores. */
export function entities(found, text) {
  const labels = [...new Set(found.map(labelOf))];
  const hue = (entity) => ({ '--hue': HUES[labels.indexOf(labelOf(entity)) % HUES.length] });
  const letters = characters(text);
  const pieces = [];
  let at = 0;
  for (const entity of [...found].sort((a, b) => a.start - b.start)) {
    if (entity.start < at) continue; // tokens of one word may overlap
    pieces.push(letters.slice(at, entity.start).join(''));
    pieces.push(h('mark', { class: 'entity', style: hue(entity), title: percent(entity.score) },
      letters.slice(entity.start, entity.end).join(''), h('span', { class: 'entity-label' }, labelOf(entity))));
    at = entity.end;
  }
  pieces.push(letters.slice(at).join(''));
  const row = (entity) =>
    h('tr', {},
      h('td', {}, letters.slice(entity.start, entity.end).join('')),
      h('td', {}, h('span', { class: 'tag', style: hue(entity) }, labelOf(entity))),
      h('td', { class: 'number' }, percent(entity.score)));
  const head = h('tr', {}, ['Text', 'Label', 'Score'].map((name) => h('th', { scope: 'col' }, name)));
  return h('div', { class: 'stack' },
    h('p', { class: 'entity-text' }, pieces),
    found.length ? h('table', { class: 'plain-table' }, h('thead', {}, head), h('tbody', {}, found.map(row)))
      : h('p', { class: 'hint' }, 'Nothing was found in this text.'));
}

function labelOf(entity) {
  return entity.entity_group ?? entity.entity;
}
