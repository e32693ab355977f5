import { transcript } from '../views/transcript.js';
import { soundForm } from './sound-form.js';

const TIMED = { response_format: 'verbose_json' };

/** What both tasks that write down speech have; `preset` are their own options to begin with. */
export function transcription(preset, example) {
  return {
    lead: 'Speech as text, with the times of its words. Press a word to hear it.',
    medium: 'audio',
    form: soundForm,
    preset,
    examples: [example],
    view: (body, { file }) => transcript(body, file.player),
    hub: {
      method: 'automatic_speech_recognition',
      named: ({ parameters }) => (Object.keys(parameters).length ? { extra_body: parameters } : {}),
    },
    openai: {
      method: 'audio.transcriptions.create',
      named: ({ parameters, fields }) => ({
        ...(parameters.language && { language: parameters.language }),
        ...(fields.stream ? { stream: true } : parameters.return_timestamps ? TIMED : {}),
      }),
      shown: 'answer.text',
      piece: 'chunk.delta if chunk.type == "transcript.text.delta" else ""',
    },
  };
}
