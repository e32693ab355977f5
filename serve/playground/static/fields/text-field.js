import { freshId, h } from '../element.js';

/** A field's label, and under it what there is to know about it. */
export function labelled(label, hint, control) {
  const id = freshId('field');
  control.id = id;
  const note = hint && h('p', { class: 'hint', id: `${id}-hint` }, hint);
  if (hint) control.setAttribute('aria-describedby', `${id}-hint`);
  return h('div', { class: 'field' }, h('label', { for: id }, label), control, note);
}

/**
 * A text of one or more lines.
 * @returns {{element: Node, control: HTMLTextAreaElement, read: function(): string, fill: function(string)}}
 */
export function textField({ label, hint, rows = 3, placeholder = '', optional = false }) {
  const control = h('textarea', { rows, placeholder, spellcheck: 'false' });
  const name = optional ? [label, h('span', { class: 'optional' }, 'optional')] : label;
  return {
    element: labelled(name, hint, control),
    control,
    read: () => control.value,
    fill: (value) => (control.value = value ?? ''),
  };
}
