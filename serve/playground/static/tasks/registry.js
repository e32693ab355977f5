/**
 * The tasks that have a form and a view of their own, in groups, as they are shown. A task that is not here gets a form
 * made from its schema (`generic.js`).
 */
export const TASKS = {
  'text-classification': { title: 'Text classification', group: 'Text', load: () => import('./text-classification.js') },
  'token-classification': { title: 'Token classification', group: 'Text', load: () => import('./token-classification.js') },
  'question-answering': { title: 'Question answering', group: 'Text', load: () => import('./question-answering.js') },
  'fill-mask': { title: 'Fill mask', group: 'Text', load: () => import('./fill-mask.js') },
  'multiple-choice': { title: 'Multiple choice', group: 'Text', load: () => import('./multiple-choice.js') },
  'feature-extraction': { title: 'Feature extraction', group: 'Text', load: () => import('./feature-extraction.js') },
  'text-generation': { title: 'Text generation', group: 'Writing', load: () => import('./text-generation.js') },
  'text2text-generation': { title: 'Text to text', group: 'Writing', load: () => import('./text2text-generation.js') },
  'image-classification': { title: 'Image classification', group: 'Pictures', load: () => import('./image-classification.js') },
  'image-to-text': { title: 'Image to text', group: 'Pictures', load: () => import('./image-to-text.js') },
  'audio-classification': { title: 'Audio classification', group: 'Sound', load: () => import('./audio-classification.js') },
  'speech-recognition-ctc': { title: 'Speech recognition, CTC', group: 'Sound', load: () => import('./speech-recognition-ctc.js') },
  'speech-recognition-seq2seq': { title: 'Speech recognition, seq2seq', group: 'Sound', load: () => import('./speech-recognition-seq2seq.js') },
};

const OTHERS = 'More';

/** The groups in the order in which they are shown. */
export const GROUPS = [...new Set(Object.values(TASKS).map(({ group }) => group)), OTHERS];

/** A task's title and group, and what loads its definition for a medium ('text', 'image' or 'audio'). */
export function taskEntry(name) {
  const known = TASKS[name];
  const title = known?.title ?? name[0].toUpperCase() + name.slice(1).replaceAll('-', ' ');
  return {
    title,
    group: known?.group ?? OTHERS,
    load: async (medium) => {
      const own = known && (await known.load()).default;
      return own?.medium === medium ? own : (await import('./generic.js')).default;
    },
  };
}
