import { apiKey } from './key.js';
import { events } from './event-stream.js';

/** The page lies beside all other routes, whatever prefix a proxy puts in front of them. */
const BASE = new URL('./', location.href);

/** The address of one of the service's paths. */
export function address(path) {
  return new URL(`.${path}`, BASE).href;
}

/** An answer that is an error, or none; its message is the service's own. */
export class ServiceError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/**
 * Asks for a path with `GET`.
 * @returns {Promise<Response>} whatever its status, but for those that say that the key is wrong
 * @throws {ServiceError} no answer, or 401 or 403
 */
export async function get(path, { accept = 'application/json', signal } = {}) {
  const response = await send(path, { headers: { accept }, signal });
  if (response.status === 401 || response.status === 403) {
    const { error } = await response.json();
    throw new ServiceError(error?.message ?? error, response.status); // an object on OpenAI's routes
  }
  return response;
}

/**
 * Sends a call and waits for its answer, whatever its status.
 * @param {Call} call
 * @param {AbortSignal} signal  ends the wait
 * @param {function} onEvent  of a stream: told of every event as it comes, with the milliseconds since the call
 * @param {function} begun  told of the answer once its status is known; of a stream, its events are added as they come
 * @returns {Promise<Object>} `status`, `headers`, `body` (JSON, or the events of a stream), `elapsed` and, of a stream,
 *   `firstAfter`, in milliseconds
 * @throws {ServiceError} there was no answer
 */
export async function ask(call, signal, onEvent, begun) {
  const began = performance.now();
  const { headers, ...request } = call.request;
  const response = await send(call.path, { ...request, headers: { ...headers }, signal });
  const answer = { status: response.status, headers: response.headers, events: null, firstAfter: null };
  if (response.headers.get('content-type')?.startsWith('text/event-stream')) {
    answer.body = answer.events = [];
    begun(answer);
    for await (const event of events(response.body)) {
      answer.firstAfter ??= performance.now() - began;
      answer.events.push(event);
      answer.elapsed = performance.now() - began;
      onEvent(event, answer.elapsed);
    }
  } else {
    answer.body = readable(await response.text());
  }
  answer.elapsed = performance.now() - began;
  return answer;
}

async function send(path, { headers, ...request }) {
  const key = apiKey();
  const sent = key ? { ...headers, authorization: `Bearer ${key}` } : headers;
  try {
    return await fetch(address(path), { ...request, headers: sent, cache: 'no-store' });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ServiceError('The service does not answer: it has ended, or the network is down.');
  }
}

function readable(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
