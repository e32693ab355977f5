import { h } from '../element.js';
import { icon } from '../icon.js';

/** A button that copies a text and says so. */
export function copyButton(text) {
  const words = h('span', {}, 'Copy');
  const button = h('button', { type: 'button', class: 'quiet small copy' }, icon('copy'), words);
  button.addEventListener('click', async () => {
    const done = await copied(text);
    button.firstChild.replaceWith(icon(done ? 'check' : 'copy'));
    words.textContent = done ? 'Copied' : 'Not allowed';
    setTimeout(() => {
      button.firstChild.replaceWith(icon('copy'));
      words.textContent = 'Copy';
    }, 1500);
  });
  return button;
}

/** Whether it could be copied: a page that did not come over HTTPS, but for this machine's own, may not. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
