import { textField } from '../fields/text-field.js';
import { entities } from '../views/entities.js';

function form() {
  const text = textField({ label: 'Text', rows: 5 });
  return { element: text.element, read: () => ({ inputs: text.read() }), fill: (example) => text.fill(example.text) };
}

/** Entities of a text, coloured where they stand. */
export default {
  lead: 'Names, places and the like, coloured where they stand in the text.',
  medium: 'text',
  form,
  preset: { aggregation_strategy: 'first' },
  examples: [
    { title: 'A letter', text: 'Write to Anna Lindqvist, 14 Mill Lane, Oxford, or call 01865 496 0000.' },
    { title: 'A message', text: 'I’m Maria Gonzalez 👋, call me on (415) 555-0182 any day.' },
  ],
  view: (body, { inputs }) => entities(body, inputs),
  hub: { method: 'token_classification', takes: ['aggregation_strategy', 'ignore_labels', 'stride'], given: (inputs) => [inputs] },
};
