import { h } from './element.js';
import { icon } from './icon.js';

/** The button that runs the form, and stops what runs. `run` gets an AbortSignal and resolves once it is over. */
export function runButton(run) {
  let controller = null;
  const button = h('button', { type: 'submit', class: 'primary run' });
  const show = () => {
    button.replaceChildren(icon(controller ? 'stop' : 'play'), controller ? 'Stop' : 'Run');
    button.classList.toggle('is-running', Boolean(controller));
  };
  show();
  return {
    button,
    /** Runs, or stops what runs. */
    press: async () => {
      if (controller) {
        controller.abort();
        return;
      }
      controller = new AbortController();
      show();
      try {
        await run(controller.signal);
      } finally {
        controller = null;
        show();
      }
    },
  };
}
