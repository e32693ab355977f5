import { icon } from './icon.js';

const STORED = 'playground-theme';
const dark = matchMedia('(prefers-color-scheme: dark)');

/** Makes a button switch between light and dark. Until it is pressed, the system decides; then the browser remembers. */
export function themeButton(button) {
  const stored = localStorage.getItem(STORED);
  if (stored) document.documentElement.style.colorScheme = stored;
  const isDark = () => (document.documentElement.style.colorScheme || (dark.matches ? 'dark' : 'light')) === 'dark';
  const show = () => {
    button.replaceChildren(icon(isDark() ? 'sun' : 'moon'));
    button.setAttribute('aria-label', isDark() ? 'Light colours' : 'Dark colours');
    button.title = button.getAttribute('aria-label');
  };
  button.addEventListener('click', () => {
    const next = isDark() ? 'light' : 'dark';
    document.documentElement.style.colorScheme = next;
    localStorage.setItem(STORED, next);
    show();
  });
  dark.addEventListener('change', show);
  show();
}
