import { servedTasks } from './catalogue.js';
import { h } from './element.js';
import { keyButton } from './key.js';
import { get, ServiceError } from './service.js';
import { taskList } from './task-list.js';
import { themeButton } from './theme.js';
import { workbench } from './workbench.js';

const main = document.getElementById('main');
const keyOpener = document.getElementById('key-button');
const statusLink = document.getElementById('status-link');
const benches = new Map(); // what was typed stays while one looks at another task
let page = null;
let leave = null; // what the page shows may want to know that it goes: the status asks no more then
let turn = 0; // of several addresses in a row, the last one is shown

/** Asks the service what it has and shows it; again once the key is another. */
async function start() {
  benches.clear();
  try {
    const [models, document] = await Promise.all(['/v1/models', '/openapi.json'].map(async (path) => (await get(path)).json()));
    const served = servedTasks(models);
    page = { served, document, list: taskList(window.document.getElementById('tasks'), served) };
    await route();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    show({ element: refusal(error) });
  }
  performance.mark('interactive');
  window.document.documentElement.dataset.ready = 'true';
}

/** Shows what the address names behind its `#`: a task, a task and a model, or the status. */
async function route() {
  if (!page) return;
  const [name, modelName] = decodeURIComponent(location.hash.slice(1)).split('/');
  const isStatus = name === 'status';
  statusLink.toggleAttribute('aria-current', isStatus);
  document.body.classList.toggle('on-status', isStatus);
  const mine = (turn += 1);
  const view = isStatus ? await statusView() : await taskView(name, modelName);
  if (mine === turn) show(view);
}

async function statusView() {
  page.list.show(null);
  const { statusPage } = await import('./status/status-page.js');
  return statusPage(page.served);
}

async function taskView(name, modelName) {
  const served = page.served.find(({ task }) => task === name) ?? page.served[0];
  const model = served.models.find(({ id }) => id === modelName) ?? served.models[0];
  page.list.show(served.task);
  if (!benches.has(model.id)) benches.set(model.id, workbench(served, model, page.document));
  return { element: await benches.get(model.id) };
}

function show(view) {
  leave?.();
  main.replaceChildren(view.element);
  leave = view.enter?.() ?? null;
}

function refusal(error) {
  const asksForKey = error.status === 401;
  const button = h('button', { type: 'button', class: 'primary', onclick: () => (asksForKey ? keyOpener.click() : start()) }, asksForKey ? 'Enter an API key' : 'Try again');
  return h('div', { class: 'card refusal', role: 'alert' }, h('h1', {}, asksForKey ? 'This service asks for a key' : 'That did not work'),
    h('p', { class: 'error-words' }, error.status ? `${error.status}: ${error.message}` : error.message), button);
}

themeButton(document.getElementById('theme-button'));
keyButton(keyOpener, start);
// A link of the page's own: `#main` would be taken for a task.
document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener('hashchange', async () => {
  await route();
  main.focus({ preventScroll: true });
  scrollTo({ top: 0 });
});
start();
