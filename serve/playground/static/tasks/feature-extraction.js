import { FormError } from '../fields/form-error.js';
import { textList } from '../fields/text-list.js';
import { similarity } from '../views/similarity.js';

function form() {
  const texts = textList({ label: 'Texts', noun: 'Text', hint: 'Each becomes a vector; texts of like meaning lie close together.' });
  return {
    element: texts.element,
    read: () => {
      if (!texts.read().length) throw new FormError('Add a text first.');
      return { inputs: texts.read() };
    },
    fill: (example) => texts.fill(example.texts),
  };
}

/** Vectors of texts, and how alike they are. */
export default {
  lead: 'Texts become vectors; the matrix shows how alike their meanings are.',
  medium: 'text',
  form,
  examples: [
    { title: 'Music and money', texts: ['A man plays a guitar.', 'Somebody makes music on a string instrument.', 'The stock market fell today.', 'Shares lost value this morning.'] },
    { title: 'Support desk', texts: ['I forgot my password.', 'How can I reset my login?', 'When does my parcel arrive?', 'The delivery is late.', 'Cancel my subscription, please.'] },
  ],
  view: (body, { inputs }) => similarity(body, inputs),
  hub: {
    method: 'feature_extraction',
    takes: ['normalize', 'prompt_name', 'truncate', 'truncation_direction', 'dimensions', 'encoding_format'],
    given: (inputs) => [inputs],
  },
  openai: {
    method: 'embeddings.create',
    named: ({ inputs, fields }) => ({ input: inputs, ...(fields.dimensions && { dimensions: fields.dimensions }) }),
    shown: '[item.embedding[:4] for item in answer.data]',
  },
};
