import { h } from '../element.js';
import { choiceField } from '../fields/choice-field.js';
import { textField } from '../fields/text-field.js';
import { writingOptions } from '../snippets/openai.js';
import { COMPLETIONS, HUB_WRITING } from './writing.js';

function form() {
  const prompt = textField({ label: 'Prompt', rows: 4 });
  const way = choiceField('How the text is read', { prompt: 'Go on with it', chat: 'Answer it as a chat' });
  return {
    element: h('div', { class: 'stack tight' }, prompt.element, way.element),
    read: () => ({ inputs: way.read() === 'chat' ? [{ role: 'user', content: prompt.read() }] : prompt.read() }),
    fill: (example) => {
      prompt.fill(example.prompt);
      way.fill(example.way ?? 'prompt');
    },
  };
}

const isChat = ({ inputs }) => Array.isArray(inputs);

/** Text that goes on where a prompt ends, or answers a chat. */
export default {
  lead: 'Text that goes on where the prompt ends, or answers a chat.',
  medium: 'text',
  form,
  writes: true,
  stream: true,
  preset: { max_new_tokens: 64, do_sample: false },
  examples: [
    { title: 'Fish', prompt: 'fish:' },
    { title: 'River', prompt: 'river:', preset: { max_new_tokens: 64, do_sample: true, temperature: 0.8, seed: 7 } },
    { title: 'A long one', prompt: 'house:', preset: { max_new_tokens: 250, min_new_tokens: 250, do_sample: true, temperature: 1, seed: 3 } },
  ],
  before: (call) => (isChat(call) ? '' : call.inputs),
  hub: {
    method: 'text_generation',
    takes: HUB_WRITING,
    given: (inputs) => [inputs],
    of: (call) => isChat(call) && {
      method: 'chat_completion',
      given: (inputs) => [inputs],
      named: (asked) => {
        const { temperature, ...options } = writingOptions(asked);
        return temperature ? { ...options, temperature } : options;
      },
    },
  },
  openai: {
    ...COMPLETIONS,
    of: (call) => isChat(call) && {
      method: 'chat.completions.create',
      named: (asked) => ({ messages: asked.inputs, ...writingOptions(asked) }),
      shown: 'answer.choices[0].message.content',
      piece: 'chunk.choices[0].delta.content or ""',
    },
  },
};
