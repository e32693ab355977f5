import { h } from '../element.js';
import { icon } from '../icon.js';

/**
 * A place where a file can be dropped, or chosen by a button, or pasted anywhere on the page while the place is shown.
 * @param {string} medium  'image' or 'audio'
 * @param {string} words  what is said while there is nothing
 * @param {function(File)} taken
 * @param {...Node} others  other ways to a file
 */
export function dropZone(medium, words, taken, ...others) {
  const input = h('input', { type: 'file', accept: `${medium}/*`, class: 'hidden', tabindex: '-1', 'aria-hidden': 'true' });
  const choose = h('button', { type: 'button', class: 'quiet small', onclick: () => input.click() }, icon('upload'), 'Choose a file');
  const shown = h('div', { class: 'drop-shown' });
  const told = h('p', { class: 'drop-words' }, words);
  const element = h('div', { class: 'drop', role: 'group', 'aria-label': words }, shown, told,
    h('div', { class: 'row center' }, choose, others), input);

  input.addEventListener('change', () => {
    if (input.files.length) taken(input.files[0]);
    input.value = '';
  });
  element.addEventListener('dragover', (event) => {
    event.preventDefault();
    element.classList.add('is-over');
  });
  element.addEventListener('dragleave', () => element.classList.remove('is-over'));
  element.addEventListener('drop', (event) => {
    event.preventDefault();
    element.classList.remove('is-over');
    if (event.dataTransfer.files.length) taken(event.dataTransfer.files[0]);
  });
  document.addEventListener('paste', (event) => {
    const file = [...event.clipboardData.files].find((each) => each.type.startsWith(`${medium}/`));
    if (!file || !element.isConnected) return;
    event.preventDefault();
    taken(file);
  });
  const show = (...nodes) => {
    shown.replaceChildren(...nodes);
    told.textContent = words.replace(/ (a) /, ' another ');
  };
  return { element, show };
}

/** A file that comes with the page, as the forms take one. */
export async function sampleFile(name) {
  const response = await fetch(new URL(`../media/${name}`, import.meta.url));
  const blob = await response.blob();
  return new File([blob], name, { type: blob.type });
}
