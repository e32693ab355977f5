const LINE = /^ray_automodel_(\w+)\{(.*)\} (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const KEPT = new Set(['model', 'le']);

/**
 * The service's own samples in Prometheus' text, summed over all labels but model and bound.
 * @param {string} text
 * @returns {Map<string, Map<string, Object>>} model to name to its value, or to its `Map` of bounds
 */
export function samples(text) {
  const models = new Map();
  for (const line of text.split('\n')) {
    const match = LINE.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of match[2].matchAll(LABEL)) if (KEPT.has(name)) labels[name] = value;
    if (labels.model === undefined) continue;
    if (!models.has(labels.model)) models.set(labels.model, new Map());
    add(models.get(labels.model), match[1], labels.le, Number(match[3]));
  }
  return models;
}

function add(figures, name, bound, value) {
  if (bound === undefined) {
    figures.set(name, (figures.get(name) ?? 0) + value);
    return;
  }
  if (!figures.has(name)) figures.set(name, new Map());
  const bounds = figures.get(name);
  const upper = bound === '+Inf' ? Infinity : Number(bound);
  bounds.set(upper, (bounds.get(upper) ?? 0) + value);
}
