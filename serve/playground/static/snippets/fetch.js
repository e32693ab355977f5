import { apiKey } from '../key.js';
import { address } from '../service.js';

/** The call for JavaScript; of a file, `file` is what an `<input type="file">` or a drop gives. */
export function fetchCall(call) {
  const headers = call.file ? (call.formFields.length ? {} : { 'content-type': call.file.type }) : { 'content-type': 'application/json' };
  const written = Object.entries(headers).map(([name, value]) => `"${name}": ${JSON.stringify(value)}`);
  if (apiKey()) written.push('authorization: `Bearer ${key}`');
  const lines = [];
  let body = 'file';
  if (!call.file) body = `JSON.stringify(${JSON.stringify(call.json, null, 2).replaceAll('\n', '\n  ')})`;
  else if (call.formFields.length) {
    lines.push('const form = new FormData();', 'form.append("file", file);');
    call.formFields.forEach(([name, text]) => lines.push(`form.append(${JSON.stringify(name)}, ${JSON.stringify(text)});`));
    body = 'form';
  }
  lines.push(`const response = await fetch(${JSON.stringify(address(call.path))}, {`, '  method: "POST",');
  if (written.length) lines.push(`  headers: { ${written.join(', ')} },`);
  lines.push(`  body: ${body},`, '});');
  if (call.fields.stream) {
    lines.push('for await (const piece of response.body.pipeThrough(new TextDecoderStream())) console.log(piece);');
  } else lines.push('console.log(await response.json());');
  return lines.join('\n');
}
