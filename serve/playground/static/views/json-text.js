import { h } from '../element.js';

const MOST = 24; // items of a long list of numbers that are shown
const MOST_ENTRIES = 16; // of a list of objects, such as the events of a stream

/** JSON in colours, long lists of numbers cut; `Copy` elsewhere has it whole. */
export function jsonText(value) {
  return h('pre', { class: 'code', tabindex: '0', role: 'region', 'aria-label': 'The answer as JSON' }, h('code', {}, written(value, '')));
}

function written(value, indent) {
  if (value === null || typeof value !== 'object') return scalar(value);
  const isList = Array.isArray(value);
  const [open, close] = isList ? '[]' : '{}';
  const entries = isList ? value.map((each) => [null, each]) : Object.entries(value);
  if (!entries.length) return [open + close];
  const isFlat = entries.every(([, each]) => each === null || typeof each !== 'object');
  if (isFlat && (isList || JSON.stringify(value).length < 76)) {
    const shown = entries.slice(0, MOST).map((entry, index) => [index ? ', ' : '', pair(entry, indent)]);
    const rest = entries.length - MOST;
    return [open, shown, rest > 0 && h('span', { class: 'j-more' }, ` … ${rest} more`), close];
  }
  const inner = `${indent}  `;
  const most = isList ? MOST_ENTRIES : Infinity;
  const rest = entries.length - most;
  const lines = entries.slice(0, most).map((entry, index) => [index ? ',' : '', `\n${inner}`, pair(entry, inner)]);
  return [open, lines, rest > 0 && h('span', { class: 'j-more' }, `\n${inner}… ${rest} more`), `\n${indent}${close}`];
}

function pair([name, value], indent) {
  return name === null ? written(value, indent) : [h('span', { class: 'j-name' }, JSON.stringify(name)), ': ', written(value, indent)];
}

function scalar(value) {
  const kind = typeof value === 'string' ? 'j-text' : typeof value === 'number' ? 'j-number' : 'j-word';
  return [h('span', { class: kind }, JSON.stringify(value))];
}
