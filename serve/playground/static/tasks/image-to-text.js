import { h } from '../element.js';
import { pictureField } from '../fields/picture-field.js';
import { textField } from '../fields/text-field.js';

function form() {
  const picture = pictureField();
  const text = textField({ label: 'Question or beginning', rows: 1, optional: true, hint: 'For models that read a text with a picture.' });
  return {
    element: h('div', { class: 'stack' }, picture.element, text.element),
    own: ['text'],
    read: () => ({ file: picture.read(), fields: text.read() ? { text: text.read() } : {} }),
    fill: (example) => {
      text.fill(example.text);
      return picture.fill(example.file);
    },
  };
}

/** What a model writes about a picture. */
export default {
  lead: 'What the model writes about a picture, or reads in it.',
  medium: 'image',
  form,
  writes: true,
  stream: false,
  examples: [{ title: 'Handwritten digits', file: 'digits.png' }],
  hub: { method: 'image_to_text', takes: [] },
};
