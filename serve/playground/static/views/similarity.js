import { h } from '../element.js';

/** How alike several texts are: cosines of their vectors, as a table whose cells are the darker the more alike. */
export function similarity(answer, texts) {
  const body = scattered(answer);
  const vectors = body.map((vector) => (Array.isArray(vector[0]) ? mean(vector) : vector));
  const isPooled = !Array.isArray(body[0][0]);
  const facts = isPooled ? `${vectors.length} × ${vectors[0].length} numbers`
    : `hidden states of ${vectors[0].length} numbers a token; compared by their mean`;
  if (vectors.length < 2) return h('div', { class: 'stack' }, strip(vectors[0]), h('p', { class: 'hint' }, `${facts}. Add a text to compare it with.`));
  const head = h('tr', {}, h('td', {}), texts.map((text, index) => h('th', { scope: 'col', title: text }, index + 1)));
  const row = (text, i) =>
    h('tr', {}, h('th', { scope: 'row' }, h('span', { class: 'matrix-number' }, i + 1), h('span', { class: 'matrix-text', title: text }, text)),
      vectors.map((other) => cell(cosine(vectors[i], other))));
  return h('div', { class: 'stack' },
    h('div', { class: 'scroll-x', tabindex: '0', role: 'group', 'aria-label': 'Similarity matrix' },
      h('table', { class: 'matrix' }, h('thead', {}, head), h('tbody', {}, texts.map(row)))),
    h('p', { class: 'hint' }, `Cosine of each pair, −1 to 1; ${facts}.`));
}

function cell(value) {
  const share = Math.max(0, value) * 46; // more would leave the figures too little contrast
  return h('td', { style: { background: `color-mix(in oklab, var(--accent) ${share.toFixed(1)}%, var(--surface))` } }, value.toFixed(2).replace('-', '−'));
}

/** One vector as a strip of stripes. */
function strip(vector) {
  const most = Math.max(...vector.map(Math.abs), 1e-9);
  const stripe = (value) => h('span', { class: value < 0 ? 'is-negative' : '', style: { opacity: (Math.abs(value) / most).toFixed(2) } });
  return h('div', { class: 'vector', role: 'img', 'aria-label': `A vector of ${vector.length} numbers` }, vector.slice(0, 512).map(stripe));
}

/** Sparse vectors, lists of {index, value}, with their zeros; others as they are. */
function scattered(body) {
  const entries = body.flat().filter((entry) => entry !== null && typeof entry === 'object' && 'index' in entry);
  if (!entries.length) return body;
  const width = Math.max(...entries.map(({ index }) => index)) + 1;
  return body.map((vector) => {
    const full = new Array(width).fill(0);
    for (const { index, value } of vector) full[index] = value;
    return full;
  });
}

function mean(rows) {
  return rows[0].map((_, column) => rows.reduce((sum, row) => sum + row[column], 0) / rows.length);
}

function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, index) => sum + value * y[index], 0);
  return dot(a, b) / (Math.sqrt(dot(a, a) * dot(b, b)) || 1);
}
