import { freshId, h } from '../element.js';
import { icon } from '../icon.js';

/**
 * A list of short texts that can be made longer and shorter.
 * @returns {{element: Node, read: function(): string[], fill: function(string[])}}
 */
export function textList({ label, noun, hint }) {
  const id = freshId('list');
  const lines = h('ol', { class: 'text-list', 'aria-labelledby': id });
  const texts = () => [...lines.querySelectorAll('input')].map((input) => input.value);

  function number() {
    [...lines.children].forEach((line, index) => {
      line.querySelector('input').setAttribute('aria-label', `${noun} ${index + 1}`);
      line.querySelector('button').setAttribute('aria-label', `Remove ${noun.toLowerCase()} ${index + 1}`);
    });
  }

  function add(text) {
    const input = h('input', { type: 'text', spellcheck: 'false' });
    input.value = text;
    const remove = () => {
      const next = line.nextElementSibling ?? line.previousElementSibling;
      line.remove();
      number();
      (next?.querySelector('input') ?? more).focus();
    };
    const line = h('li', {}, input, h('button', { type: 'button', class: 'quiet icon-only', onclick: remove }, icon('close')));
    lines.append(line);
    number();
    return input;
  }

  const more = h('button', { type: 'button', class: 'quiet small', onclick: () => add('').focus() }, icon('plus'), `Add ${noun.toLowerCase()}`);
  return {
    element: h('div', { class: 'field', role: 'group', 'aria-labelledby': id },
      h('span', { class: 'label', id }, label), hint && h('p', { class: 'hint' }, hint), lines, more),
    read: () => texts().filter((text) => text.trim()),
    fill: (values) => {
      lines.replaceChildren();
      values.forEach(add);
    },
  };
}
