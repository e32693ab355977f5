import { textField } from '../fields/text-field.js';
import { COMPLETIONS } from './writing.js';

function form() {
  const text = textField({ label: 'Text', rows: 3 });
  return { element: text.element, read: () => ({ inputs: text.read() }), fill: (example) => text.fill(example.text) };
}

/** What a model makes of a text: a translation, a summary, a pronunciation. */
export default {
  lead: 'What the model makes of a text: a translation, a summary, a pronunciation.',
  medium: 'text',
  form,
  writes: true,
  stream: true,
  preset: { max_new_tokens: 32 },
  examples: [
    { title: 'serendipity', text: 'serendipity' },
    { title: 'photograph', text: 'photograph' },
    { title: 'wilderness', text: 'wilderness' },
  ],
  hub: {
    method: 'summarization',
    path: ({ model }) => `/models/${model}/pipeline/summarization`,
    given: (inputs) => [inputs],
    named: ({ parameters }) => ({ generate_parameters: parameters }),
  },
  openai: COMPLETIONS,
};
