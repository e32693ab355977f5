import { pictureField } from '../fields/picture-field.js';
import { scoreBars } from '../views/score-bars.js';

function form() {
  const picture = pictureField();
  return { element: picture.element, read: () => ({ file: picture.read() }), fill: (example) => picture.fill(example.file) };
}

/** What a picture shows. */
export default {
  lead: 'What a picture shows, with how sure the model is.',
  medium: 'image',
  form,
  examples: [{ title: 'A cat', file: 'cat.jpg' }, { title: 'Digits', file: 'digits.png' }],
  view: (body) => scoreBars(body.map(({ label, score }) => ({ name: label, score })), 'Labels'),
  hub: { method: 'image_classification', takes: ['top_k', 'function_to_apply'] },
};
