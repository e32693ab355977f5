import { h } from '../element.js';
import { resolved, schemaField } from './schema-field.js';

// What the form itself has, and what makes an answer of another shape than the views show.
const HIDDEN = new Set(['inputs', 'parameters', 'stream', 'partial', 'options']);

/**
 * Everything else that a request may say, made from its schema: those beside the inputs and those among `parameters`.
 * @param {Object} schema  of the request
 * @param {Object} document  the OpenAPI document
 * @param {Set<string>} own  names that the task's form has itself
 * @param {Object} preset  values to begin with
 * @returns {{element: Node, read: function(): {fields: Object, parameters: Object}, fill: function(Object)}}
 */
export function optionsPanel(schema, document, own, preset) {
  const properties = resolved(schema, document).properties ?? {};
  const made = [];
  const take = (section, found) =>
    Object.entries(found).filter(([name]) => !HIDDEN.has(name) && !own.has(name))
      .forEach(([name, part]) => made.push({ section, name, ...schemaField(name, part, document) }));
  take('fields', properties);
  if (properties.parameters) take('parameters', resolved(properties.parameters, document).properties ?? {});

  const count = h('span', { class: 'count' });
  const element = h('details', { class: 'options' }, h('summary', {}, 'Options', count),
    h('div', { class: 'options-grid' }, made.map((each) => each.element)));
  const fill = (values) => {
    made.forEach((each) => each.fill(values[each.name]));
    show();
  };
  function show() {
    const set = made.filter((each) => each.element.querySelector('input, select, textarea').value !== '').length;
    count.textContent = set ? `${set} set` : '';
  }
  element.addEventListener('input', show);
  element.hidden = !made.length;
  fill(preset);
  return {
    element,
    fill,
    read: () => {
      const asked = { fields: {}, parameters: {} };
      for (const { section, name, read } of made) {
        const value = read();
        if (value !== undefined) asked[section][name] = value;
      }
      return asked;
    },
  };
}
