import { freshId, h } from '../element.js';
import { FormError } from './form-error.js';

/** A schema with its reference followed. */
export function resolved(schema, document) {
  if (!schema?.$ref) return schema ?? {};
  const { $ref, ...beside } = schema;
  const target = $ref.slice(2).split('/').reduce((part, name) => part[name], document);
  return { ...resolved(target, document), ...beside };
}

/** All that a schema allows, without null. */
function variants(schema, document) {
  const flat = resolved(schema, document);
  const parts = flat.anyOf ?? flat.oneOf;
  return parts ? parts.flatMap((part) => variants(part, document)) : flat.type === 'null' ? [] : [flat];
}

/**
 * A field for whatever a schema describes. Left empty it gives `undefined`, and the service's default holds.
 * @param {string} name  of the property
 * @param {Object} schema  as OpenAPI has it
 * @param {Object} document  the OpenAPI document, for references
 * @returns {{element: Node, read: function(): *, fill: function(*)}} `read` throws FormError where JSON is wrong
 */
export function schemaField(name, schema, document) {
  const flat = resolved(schema, document);
  const allowed = variants(schema, document);
  const values = allowed.flatMap((each) => each.enum ?? (each.const === undefined ? (each.type === 'boolean' ? [true, false] : []) : [each.const]));
  const types = new Set(allowed.map((each) => each.type));
  const numeric = [...types].every((type) => type === 'integer' || type === 'number');
  const texts = allowed.length === 1 && allowed[0].type === 'array' && resolved(allowed[0].items, document).type === 'string';
  const [control, parse, write] =
    values.length ? choices(values)
      : numeric ? [h('input', { type: 'number', step: types.has('number') ? 'any' : 1 }), Number, String]
        : texts ? [h('textarea', { rows: 2, placeholder: 'one in each line' }), (text) => text.split('\n').filter(Boolean), (list) => list.join('\n')]
          : types.has('string') ? [h('input', { type: 'text', spellcheck: 'false' }), String, String]
            : [h('textarea', { rows: 3, placeholder: 'JSON', spellcheck: 'false' }), (text) => json(name, text), JSON.stringify];
  if (flat.default != null && !values.length) control.placeholder = JSON.stringify(flat.default);
  if (values.length) control.options[0].text = flat.default == null ? 'default' : `default (${flat.default})`;
  control.id = freshId('option');
  const hint = flat.description && h('p', { class: 'hint', id: `${control.id}-hint` }, flat.description);
  if (hint) control.setAttribute('aria-describedby', hint.id);
  return {
    element: h('div', { class: 'field option' }, h('label', { for: control.id }, h('code', {}, name)), control, hint),
    read: () => (control.value === '' ? undefined : parse(control.value)),
    fill: (value) => (control.value = value === undefined ? '' : write(value)),
  };
}

function choices(values) {
  const options = values.map((value) => h('option', { value: JSON.stringify(value) }, String(value)));
  return [h('select', {}, h('option', { value: '' }), options), JSON.parse, JSON.stringify];
}

function json(name, text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormError(`${name}: ${error.message}`);
  }
}
