import { transcription } from './transcription.js';

/** Speech as text by a model that writes, with the times of its words, or as a stream. */
export default {
  ...transcription({ return_timestamps: 'word' }, { title: 'From a novel', file: 'speech.ogg' }),
  writes: true,
  stream: false,
};
