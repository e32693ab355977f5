import { svg } from './element.js';

// Strokes on a grid of 24 by 24.
const PATHS = {
  play: 'M8 5.5v13l10.5-6.5z',
  pause: 'M8 6v12M16 6v12',
  stop: 'M7 7h10v10H7z',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1',
  moon: 'M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z',
  key: 'M14.5 4.5a5 5 0 1 1-3.9 8.1L4 19.2V21h3v-2h2v-2l2.3-2.3M16 8.5v.01',
  copy: 'M9 9h10v10H9zM5 15V5h10',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  upload: 'M12 16V5M7.5 9.5L12 5l4.5 4.5M5 19h14',
  camera: 'M4 8.5h3.5L9 6h6l1.5 2.5H20V18H4zM12 10.5a2.7 2.7 0 1 0 0 5.4 2.7 2.7 0 0 0 0-5.4',
  microphone: 'M12 4a2.5 2.5 0 0 0-2.5 2.5v5a2.5 2.5 0 0 0 5 0v-5A2.5 2.5 0 0 0 12 4M6.5 11.5a5.5 5.5 0 0 0 11 0M12 17v3',
  plus: 'M12 6v12M6 12h12',
  close: 'M7 7l10 10M17 7L7 17',
  arrow: 'M5 12h14M13 6l6 6-6 6',
};

/** A small picture beside a text that says the same; screen readers pass over it. */
export function icon(name) {
  const path = svg('path', { d: PATHS[name] });
  return svg('svg', { class: 'icon', viewBox: '0 0 24 24', 'aria-hidden': 'true', focusable: 'false' }, path);
}
