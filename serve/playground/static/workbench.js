import { showAnswer } from './bench-answer.js';
import { benchForm } from './bench-form.js';
import { described } from './catalogue.js';
import { freshId, h } from './element.js';
import { FormError } from './fields/form-error.js';
import { duration } from './number-text.js';
import { runButton } from './run-button.js';
import { ServiceError } from './service.js';
import { taskEntry } from './tasks/registry.js';

/**
 * The bench of one model: its form on one side, the answer on the other.
 * @param {{task: string, models: Object[]}} served  the task and its models
 * @param {{id: string, path: string}} model  the chosen one
 * @param {Object} document  the OpenAPI document
 * @returns {Promise<Node>}
 */
export async function workbench(served, model, document) {
  const about = described(document, model.path, served.task);
  const { title, load } = taskEntry(served.task);
  const definition = await load(about.medium);
  const result = h('div', { class: 'result' }, h('p', { class: 'empty' }, 'Press Run: the answer appears here.'));
  const told = h('p', { class: 'hidden', role: 'status' });
  const titleId = freshId('title');
  const { button, press } = runButton(async (signal) => {
    told.textContent = '';
    try {
      const answer = await showAnswer(form.call(), definition, signal, result);
      told.textContent = `${answer.status === 200 ? 'Answer' : 'Error'} ${answer.status} after ${duration(answer.elapsed)}`;
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (!(error instanceof FormError || error instanceof ServiceError)) throw error;
      result.replaceChildren(h('div', { class: 'error-box', role: 'alert' }, h('p', { class: 'error-words' }, error.message)));
    }
  });
  const form = await benchForm({ task: served.task, model, definition, about, button, submit: press, titleId });
  return h('div', { class: 'bench', 'data-task': served.task },
    h('div', { class: 'bench-head' }, h('h1', { id: titleId }, title), h('p', { class: 'lead' }, definition.lead ?? plain(about.summary)), modelPicker(served, model)),
    form.element, h('section', { class: 'card answer', 'aria-label': 'Answer' }, result, told));
}

/** The model's name; a choice where the task has several. */
function modelPicker({ task, models }, model) {
  const path = h('code', { class: 'path' }, `POST ${model.path}`);
  if (models.length === 1) return h('p', { class: 'model-name' }, h('code', {}, model.id), path);
  const select = h('select', { 'aria-label': 'Model', onchange: () => (location.hash = `${task}/${select.value}`) },
    models.map(({ id }) => h('option', { value: id, selected: id === model.id }, id)));
  return h('p', { class: 'model-name' }, select, path);
}

/** The marks of Markdown that the summaries of the tasks have, left out. */
function plain(text) {
  return text.replaceAll('`', '');
}
