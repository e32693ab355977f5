import { h } from './element.js';
import { icon } from './icon.js';

const STORED = 'playground-key';

/** The API key of this tab, or null. It lies in the tab's session storage and goes with the tab. */
export function apiKey() {
  return sessionStorage.getItem(STORED);
}

/** Makes a button open a dialog for the key; `changed` is called once it was entered or forgotten. */
export function keyButton(button, changed) {
  const show = () => {
    button.replaceChildren(icon('key'), h('span', { class: 'button-text' }, apiKey() ? 'Key set' : 'API key'));
    button.classList.toggle('is-on', Boolean(apiKey()));
    button.setAttribute('aria-label', apiKey() ? 'API key: set' : 'API key: none');
  };
  button.addEventListener('click', () =>
    askForKey('').then((given) => {
      if (given === null) return;
      if (given) sessionStorage.setItem(STORED, given);
      else sessionStorage.removeItem(STORED);
      show();
      changed();
    }),
  );
  show();
}

/** Opens the dialog. Resolves to the key, to '' where it is to be forgotten, or to null where nothing is to change. */
function askForKey() {
  const input = h('input', { id: 'key-input', type: 'password', autocomplete: 'off', spellcheck: 'false', placeholder: 'sk-…' });
  input.value = apiKey() ?? '';
  const dialog = h(
    'dialog',
    { class: 'dialog', 'aria-labelledby': 'key-title' },
    h('form', { method: 'dialog' },
      h('h2', { id: 'key-title' }, 'API key'),
      h('p', { class: 'hint' }, 'Sent with every request of this page as “Authorization: Bearer”. It stays in this tab and is gone once the tab is closed.'),
      h('label', { for: 'key-input' }, 'Key'),
      input,
      h('div', { class: 'row end' },
        h('button', { value: 'cancel', class: 'quiet', formnovalidate: true }, 'Cancel'),
        apiKey() && h('button', { value: 'forget', class: 'quiet' }, 'Forget'),
        h('button', { value: 'set', class: 'primary' }, 'Use this key'))),
  );
  // The first button of a form is what Enter presses.
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    dialog.close('set');
  });
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      const given = { set: input.value.trim(), forget: '' }[dialog.returnValue];
      resolve(given ?? null);
    });
  });
}
