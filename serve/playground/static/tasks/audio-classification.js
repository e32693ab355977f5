import { scoreBars } from '../views/score-bars.js';
import { soundForm } from './sound-form.js';

/** What a recording is. */
export default {
  lead: 'What a recording is, with how sure the model is.',
  medium: 'audio',
  form: soundForm,
  examples: [{ title: 'A digit', file: 'digit.ogg' }],
  view: (body) => scoreBars(body.map(({ label, score }) => ({ name: label, score })), 'Labels'),
  hub: { method: 'audio_classification', takes: ['top_k', 'function_to_apply'] },
};
