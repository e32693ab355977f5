/** A JSON value as Python writes it. */
export function python(value, indent = '') {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value !== 'object') return JSON.stringify(value);
  const isList = Array.isArray(value);
  const parts = isList ? value.map((each) => python(each, `${indent}    `))
    : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${python(each, `${indent}    `)}`);
  const [open, close] = isList ? '[]' : '{}';
  const line = `${open}${parts.join(', ')}${close}`;
  if (line.length + indent.length < 88) return line;
  return `${open}\n${parts.map((part) => `${indent}    ${part},\n`).join('')}${indent}${close}`;
}

/**
 * A call with its arguments, in one line or in several.
 * @param {string} name
 * @param {string[]} given  arguments by position, as they are written
 * @param {Object} named  arguments by name, as values
 */
export function pythonCall(name, given, named) {
  const parts = [...given, ...Object.entries(named).map(([key, value]) => `${key}=${python(value, '    ')}`)];
  const line = `${name}(${parts.join(', ')})`;
  if (line.length < 96 && !line.includes('\n')) return line;
  return `${name}(\n${parts.map((part) => `    ${part},\n`).join('')})`;
}

/** The lines that read a key from the environment, and the expression for it: snippets never show the key itself. */
export const KEY = 'os.environ["AUTOMODEL_KEY"]';
