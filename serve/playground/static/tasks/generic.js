import { h } from '../element.js';
import { pictureField } from '../fields/picture-field.js';
import { resolved, schemaField } from '../fields/schema-field.js';
import { soundField } from '../fields/sound-field.js';
import { textField } from '../fields/text-field.js';
import { byShape } from '../views/by-shape.js';

const MEDIA = { image: [pictureField, 'cat.jpg'], audio: [soundField, 'speech.ogg'] };

/** A form for the inputs that a schema describes: a file, a text, the parts of an object, or JSON. */
function form({ medium, schema, document }) {
  if (MEDIA[medium]) {
    const field = MEDIA[medium][0]();
    return { element: field.element, read: () => ({ file: field.read() }), fill: (example) => field.fill(example.file) };
  }
  const inputs = resolved(resolved(schema, document).properties?.inputs, document);
  const allowed = (inputs.anyOf ?? [inputs]).map((each) => resolved(each, document));
  if (allowed.some(({ type }) => type === 'string')) {
    const text = textField({ label: 'Inputs', hint: inputs.description });
    return { element: text.element, read: () => ({ inputs: text.read() }), fill: (example) => text.fill(example.inputs) };
  }
  return formOfParts(allowed.find(({ properties }) => properties) ?? inputs, document);
}

function formOfParts(schema, document) {
  const parts = Object.entries(schema.properties ?? {}).map(([name, part]) => [name, schemaField(name, part, document)]);
  if (!parts.length) {
    const whole = schemaField('inputs', { description: schema.description }, document);
    return { element: whole.element, read: () => ({ inputs: whole.read() }), fill: (example) => whole.fill(example.inputs) };
  }
  return {
    element: h('div', { class: 'stack' }, parts.map(([, part]) => part.element)),
    read: () => ({ inputs: Object.fromEntries(parts.map(([name, part]) => [name, part.read()]).filter(([, value]) => value !== undefined)) }),
    fill: (example) => parts.forEach(([name, part]) => part.fill(example.inputs?.[name])),
  };
}

/** Any task that has no definition of its own: what its schema says, prefilled with its own example. */
export default {
  form,
  examplesOf: ({ medium, example }) => [MEDIA[medium] ? { title: 'Sample', file: MEDIA[medium][1] } : { title: 'Example', inputs: example?.inputs, preset: example?.parameters }],
  view: byShape,
};
