import { freshId, h } from '../element.js';

/**
 * A choice among a few, all of them to be seen.
 * @param {string} label
 * @param {Object<string, string>} choices  value to text; the first one is chosen
 * @param {function(string)} changed
 */
export function choiceField(label, choices, changed = () => {}) {
  const name = freshId('choice');
  const buttons = Object.entries(choices).map(([value, text], index) =>
    h('label', {}, h('input', { type: 'radio', name, value, checked: index === 0, onchange: () => changed(value) }), h('span', {}, text)));
  const element = h('div', { class: 'segments', role: 'radiogroup', 'aria-label': label }, buttons);
  return {
    element,
    read: () => element.querySelector('input:checked').value,
    fill: (value) => {
      element.querySelectorAll('input').forEach((input) => (input.checked = input.value === value));
      changed(value);
    },
  };
}

/** Something that is on or off. */
export function switchField(label, isOn = false) {
  const control = h('input', { type: 'checkbox', role: 'switch' });
  control.checked = isOn;
  return { element: h('label', { class: 'switch' }, control, h('span', { class: 'track' }), label), read: () => control.checked, control };
}
