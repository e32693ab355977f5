import { h } from '../element.js';
import { textField } from '../fields/text-field.js';
import { fillings } from '../views/fillings.js';

const MASK = '[MASK]';

function form() {
  const text = textField({ label: 'Text with a blank', hint: `Write ${MASK} for the missing word, or what the model’s own mask is.` });
  const insert = () => {
    text.control.setRangeText(MASK, text.control.selectionStart, text.control.selectionEnd, 'end');
    text.control.focus();
  };
  const button = h('button', { type: 'button', class: 'quiet small', onclick: insert }, `Insert ${MASK}`);
  return {
    element: h('div', { class: 'stack tight' }, text.element, h('div', {}, button)),
    read: () => ({ inputs: text.read() }),
    fill: (example) => text.fill(example.text),
  };
}

/** Candidates for the blanks of a text. */
export default {
  lead: 'Words for a blank, likeliest first. Press one to put it in.',
  medium: 'text',
  form,
  examples: [
    { title: 'Medicine', text: 'The doctor prescribed a new [MASK] for the infection.' },
    { title: 'Geography', text: 'Paris is the [MASK] of France.' },
    { title: 'Two blanks', text: 'The [MASK] of the company signed the [MASK].' },
  ],
  view: (body, { inputs }) => fillings(body, inputs),
  hub: { method: 'fill_mask', takes: ['targets', 'top_k'], given: (inputs) => [inputs] },
};
