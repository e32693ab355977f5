import { apiKey } from '../key.js';
import { address } from '../service.js';
import { KEY, python, pythonCall } from './python.js';

// Parameters of the tasks that write, by the names of OpenAI's clients.
const NAMES = { max_new_tokens: 'max_tokens', temperature: 'temperature', top_p: 'top_p', stop: 'stop', seed: 'seed',
  frequency_penalty: 'frequency_penalty', presence_penalty: 'presence_penalty', num_return_sequences: 'n' };

/** Options of writing as OpenAI's clients name them. */
export function writingOptions({ parameters, fields }) {
  const options = Object.entries(parameters).filter(([name]) => NAMES[name]).map(([name, value]) => [NAMES[name], value]);
  const greedy = parameters.do_sample === false ? { temperature: 0 } : {};
  return { ...Object.fromEntries(options), ...greedy, ...(fields.stream ? { stream: true } : {}) };
}

/**
 * The call for Python's `openai`.
 * @param {Call} call
 * @param {Object} way  of the task: `method`; `named`, which makes the arguments; `shown`, the expression for what is
 *   wanted of `answer`; `piece`, the same of a `chunk` of a stream
 */
export function openai(call, way) {
  const named = { model: call.model, ...way.named(call) };
  const lines = [apiKey() && 'import os\n', 'from openai import OpenAI\n'];
  lines.push(`client = OpenAI(base_url=${python(address('/v1'))}, api_key=${apiKey() ? KEY : '"none"'})`);
  const file = call.file ? [`file=open(${python(call.file.name)}, "rb")`] : [];
  const ask = pythonCall(`client.${way.method}`, file, named);
  if (named.stream) lines.push(`for chunk in ${ask}:`, `    print(${way.piece}, end="", flush=True)`);
  else lines.push(`answer = ${ask}`, `print(${way.shown})`);
  return lines.filter(Boolean).join('\n');
}
