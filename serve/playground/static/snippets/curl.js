import { apiKey } from '../key.js';
import { address } from '../service.js';

/** The call for a shell. */
export function curl(call) {
  const parts = [`curl ${call.fields.stream ? '-sN' : '-s'} ${address(call.path)}`];
  if (apiKey()) parts.push('-H "authorization: Bearer $AUTOMODEL_KEY"');
  if (!call.file) parts.push("-H 'content-type: application/json'", `-d ${quoted(JSON.stringify(call.json))}`);
  else if (!call.formFields.length) parts.push(`-H 'content-type: ${call.file.type}'`, `--data-binary ${quoted(`@${call.file.name}`)}`);
  else parts.push(`-F ${quoted(`file=@${call.file.name}`)}`, ...call.formFields.map(([name, text]) => `--form-string ${quoted(`${name}=${text}`)}`));
  return parts.join(' \\\n  ');
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
