import { writingOptions } from '../snippets/openai.js';

/** Parameters that `text_generation` of huggingface_hub has. */
export const HUB_WRITING = ('best_of details do_sample frequency_penalty grammar max_new_tokens repetition_penalty ' +
  'return_full_text seed stop stream temperature top_k top_n_tokens top_p truncate typical_p').split(' ');

/** How `openai` asks for a text that goes on from a prompt, by a model that has completions. */
export const COMPLETIONS = {
  method: 'completions.create',
  named: (call) => ({ prompt: call.inputs, ...writingOptions(call) }),
  shown: 'answer.choices[0].text',
  piece: 'chunk.choices[0].text',
};
