import { soundField } from '../fields/sound-field.js';

/** The form of all tasks that listen: a recording. */
export function soundForm() {
  const sound = soundField();
  return { element: sound.element, read: () => ({ file: sound.read() }), fill: (example) => sound.fill(example.file) };
}
