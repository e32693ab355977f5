import { h } from '../element.js';
import { FormError } from '../fields/form-error.js';
import { textField } from '../fields/text-field.js';
import { textList } from '../fields/text-list.js';
import { scoreBars } from '../views/score-bars.js';

function form() {
  const prompt = textField({ label: 'Prompt', rows: 2 });
  const choices = textList({ label: 'Choices', noun: 'Choice' });
  return {
    element: h('div', { class: 'stack' }, prompt.element, choices.element),
    read: () => {
      if (!choices.read().length) throw new FormError('Add a choice first.');
      return { inputs: { prompt: prompt.read(), choices: choices.read() } };
    },
    fill: (example) => {
      prompt.fill(example.prompt);
      choices.fill(example.choices);
    },
  };
}

/** Choices, ranked by how well they go with a prompt. No client of Hugging Face or OpenAI has such a call. */
export default {
  lead: 'Choices, ranked by how well they go with a prompt.',
  medium: 'text',
  form,
  examples: [
    { title: 'A definition', prompt: 'a vehicle with four wheels driven on roads', choices: ['banana', 'car', 'river', 'sadness'] },
    { title: 'Another', prompt: 'a large natural stream of water', choices: ['window', 'river', 'violin', 'teacher'] },
  ],
  view: (body) => scoreBars(body.map(({ choice, score }) => ({ name: choice, score })), 'Choices, best first'),
};
