import { transcription } from './transcription.js';

/** Speech as text, with the times of its words. */
export default transcription({ return_timestamps: 'word' }, { title: 'Spoken digits', file: 'digits.ogg' });
