import { h } from '../element.js';
import { copyButton } from '../views/copy-button.js';

/** Code that can be copied. */
export function snippetPanel(language, code) {
  return h('div', { class: 'snippet' }, copyButton(code),
    h('pre', { class: 'code', tabindex: '0', role: 'region', 'aria-label': `The call for ${language}` }, h('code', {}, code)));
}
