import { Call } from './call.js';
import { h } from './element.js';
import { switchField } from './fields/choice-field.js';
import { optionsPanel } from './fields/options-panel.js';

/**
 * The form of one model: the task's own fields, a switch for streams, and all options of its schema.
 * @param {string} task
 * @param {{id: string, path: string}} model
 * @param {Object} definition  of the task
 * @param {Object} about  what the OpenAPI document says of it
 * @param {Node} button  that runs it
 * @param {function} submit  called where the form is sent, also with Ctrl + Enter
 * @param {string} titleId  of what names it
 * @returns {Promise<{element: Node, call: function(): Call}>} filled with the first example; `call` throws FormError
 */
export async function benchForm({ task, model, definition, about, button, submit, titleId }) {
  const form = definition.form(about);
  const options = optionsPanel(about.schema, about.document, new Set(form.own), definition.preset ?? {});
  const stream = definition.writes && switchField('Stream, token by token', definition.stream);
  const fill = async (example) => {
    options.fill(example.preset ?? definition.preset ?? {});
    await form.fill(example);
  };
  const examples = definition.examplesOf?.(about) ?? definition.examples;
  await fill(examples[0]);

  const element = h('form', { class: 'card form', 'aria-labelledby': titleId, novalidate: true },
    exampleChips(examples, fill), form.element, stream && stream.element, options.element,
    h('div', { class: 'row' }, button, h('span', { class: 'keys' }, h('kbd', {}, 'Ctrl'), ' + ', h('kbd', {}, 'Enter'))));
  element.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  element.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) element.requestSubmit();
  });

  function call() {
    const { inputs, file, fields: own } = form.read();
    const { fields, parameters } = options.read();
    return new Call({ task, model: model.id, path: model.path, inputs, file, fields: { ...own, ...fields }, parameters, stream: Boolean(stream && stream.read()) });
  }
  return { element, call };
}

function exampleChips(examples, fill) {
  const chip = (example) => h('button', { type: 'button', class: 'chip', onclick: () => fill(example) }, example.title);
  return examples.length > 1 && h('div', { class: 'chips', role: 'group', 'aria-label': 'Examples' },
    h('span', { class: 'chips-label' }, 'Examples'), examples.map(chip));
}
