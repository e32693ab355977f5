import { answerPanel } from './answer-panel.js';
import { ask } from './service.js';
import { writtenText } from './views/written-text.js';

/**
 * Sends a call and shows what comes back, piece by piece where it is a stream.
 * @param {Call} call
 * @param {Object} definition  of the task
 * @param {AbortSignal} signal  ends it; a stream keeps what has come
 * @param {Node} result  where it is shown
 * @returns {Promise<Object>} the answer, as `ask` gives it
 * @throws {ServiceError} there was none
 */
export async function showAnswer(call, definition, signal, result) {
  const written = definition.writes && writtenText(definition.before?.(call));
  let answer = null;
  let why = '';
  const onEvent = (event, elapsed) => {
    if (!result.contains(written.element)) result.replaceChildren(written.element);
    result.classList.remove('is-waiting');
    written.add(event, elapsed);
  };
  result.classList.add('is-waiting');
  try {
    answer = await ask(call, signal, onEvent, (begun) => (answer = begun));
  } catch (error) {
    if (error.name !== 'AbortError' || !answer?.events?.length) throw error;
    why = 'stopped';
  } finally {
    result.classList.remove('is-waiting');
  }
  if (answer.events) written.end(why || answer.events.find((event) => event.error)?.error);
  result.replaceChildren(answerPanel(answer, viewOf(answer, call, definition, written), call, definition));
  return answer;
}

function viewOf(answer, call, definition, written) {
  if (answer.status !== 200) return null;
  if (answer.events) return written.element;
  try {
    if (definition.view) return definition.view(answer.body, call);
    written.show(answer.body.map((each) => each.generated_text), answer.headers.get('x-generated-tokens'));
    return written.element;
  } catch (error) {
    // An option made an answer that the view does not know, such as vectors in base64; the JSON has it.
    console.warn(error);
    return null;
  }
}
