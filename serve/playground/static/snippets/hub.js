import { apiKey } from '../key.js';
import { address } from '../service.js';
import { KEY, python, pythonCall } from './python.js';

/**
 * The call for Python's `huggingface_hub`.
 * @param {Call} call
 * @param {Object} way  of the task: `method`, `takes` (names of parameters that the method has) and `given` (makes the
 *   arguments by position); or `named` (makes all other arguments from the call). `path` where it is not the call's
 */
export function hub(call, way) {
  const asked = { ...call.fields, ...call.parameters };
  const known = Object.fromEntries(Object.entries(asked).filter(([name]) => way.takes?.includes(name)));
  const named = way.named ? way.named(call) : known;
  const left = way.named ? [] : Object.keys(asked).filter((name) => !(name in known));
  const given = call.file ? [python(call.file.name)] : way.given(call.inputs).map((value) => python(value, '    '));
  const model = python(address(way.path?.(call) ?? call.path));
  const ask = pythonCall(`client.${way.method}`, given, named);
  const lines = [apiKey() && 'import os\n', 'from huggingface_hub import InferenceClient\n'];
  lines.push(`client = InferenceClient(model=${model}${apiKey() ? `, token=${KEY}` : ''})`);
  if (left.length) lines.push(`# ${way.method} has no ${left.join(', ')}`);
  if (named.stream) lines.push(`for token in ${ask}:`, '    print(token, end="", flush=True)');
  else lines.push(`answer = ${ask}`, 'print(answer)');
  return lines.filter(Boolean).join('\n');
}
