import { h } from './element.js';
import { duration } from './number-text.js';
import { curl } from './snippets/curl.js';
import { fetchCall } from './snippets/fetch.js';
import { hub } from './snippets/hub.js';
import { openai } from './snippets/openai.js';
import { snippetPanel } from './snippets/snippet-panel.js';
import { copyButton } from './views/copy-button.js';
import { jsonText } from './views/json-text.js';
import { tabs } from './views/tabs.js';
import { timeBar } from './views/time-bar.js';
import { percent } from './number-text.js';

const REASONS = { 200: 'OK', 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 413: 'Too Large',
  415: 'Unsupported Media Type', 422: 'Unprocessable', 429: 'Too Many Requests', 500: 'Error', 503: 'Unavailable', 504: 'Timeout' };
let chosenTab = 'JSON';

/**
 * Everything about an answer: its status, its view, where the time went, the JSON, and the call in other languages.
 * @param {Object} answer  as `ask` gives it
 * @param {Node|null} view  what the answer says, made by the task's own view
 * @param {Call} call
 * @param {Object} definition  of the task
 */
export function answerPanel(answer, view, call, definition) {
  const isGood = answer.status === 200;
  const head = h('div', { class: 'answer-head' },
    h('span', { class: `status ${isGood ? 'is-good' : 'is-bad'}` }, `${answer.status} ${REASONS[answer.status] ?? ''}`),
    h('span', { class: 'facts' }, facts(answer)));
  return h('div', { class: 'stack' }, head, isGood ? view : errorText(answer),
    timeBar(answer.headers.get('server-timing')), batchFacts(answer.headers),
    tabs('The answer and the call', panels(answer, call, definition), chosenTab, (title) => (chosenTab = title)));
}

function facts(answer) {
  const model = answer.headers.get('x-model');
  return [model, `${duration(answer.elapsed)} round trip`].filter(Boolean).join(' · ');
}

/** What the headers say of the batch and the tokens. */
function batchFacts(headers) {
  const header = (name) => headers.get(name);
  const entries = {
    'batch size': header('x-batch-size'),
    padding: header('x-padding-ratio') && percent(Number(header('x-padding-ratio'))),
    'tokens read': header('x-prompt-tokens'),
    'tokens written': header('x-generated-tokens'),
    'inputs cut': header('x-truncated-inputs'),
  };
  const known = Object.entries(entries).filter(([, value]) => value !== null);
  return known.length > 0 && h('dl', { class: 'batch-facts' }, known.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}

/** An error as the service words it. */
function errorText({ body, headers }) {
  const wait = headers.get('retry-after');
  return h('div', { class: 'error-box' },
    h('p', { class: 'error-words' }, body?.error ?? String(body)),
    h('p', { class: 'hint' }, [body?.error_type, wait && `try again in ${wait} s`, body?.request_id && `request ${body.request_id}`].filter(Boolean).join(' · ')));
}

function panels(answer, call, definition) {
  const made = {
    JSON: () => h('div', { class: 'snippet' }, copyButton(JSON.stringify(answer.body, null, 2)), jsonText(answer.body)),
    curl: () => snippetPanel('curl', curl(call)),
  };
  const ways = { hub: definition.hub?.of?.(call) || definition.hub, openai: definition.openai?.of?.(call) || definition.openai };
  if (ways.hub) made.huggingface_hub = () => snippetPanel('huggingface_hub', hub(call, ways.hub));
  if (ways.openai) made.openai = () => snippetPanel('openai', openai(call, ways.openai));
  made.fetch = () => snippetPanel('fetch', fetchCall(call));
  return made;
}
