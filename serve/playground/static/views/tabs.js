import { freshId, h } from '../element.js';

/**
 * Panels of which one is shown; the arrow keys go from tab to tab.
 * @param {string} label
 * @param {Object<string, function(): Node>} panels  title to what makes the panel, once it is first shown
 * @param {string} chosen  title of the one shown first
 * @param {function(string)} changed
 */
export function tabs(label, panels, chosen, changed) {
  const titles = Object.keys(panels);
  const panel = h('div', { role: 'tabpanel', id: freshId('panel') });
  const buttons = titles.map((title) =>
    h('button', { type: 'button', role: 'tab', id: freshId('tab'), 'aria-controls': panel.id, onclick: () => show(title) }, title));
  const made = {};

  function show(title, isByKey = false) {
    buttons.forEach((button, index) => {
      const isShown = titles[index] === title;
      button.setAttribute('aria-selected', String(isShown));
      button.tabIndex = isShown ? 0 : -1;
      if (!isShown) return;
      panel.setAttribute('aria-labelledby', button.id);
      if (isByKey) button.focus();
    });
    made[title] ??= panels[title]();
    panel.replaceChildren(made[title]);
    changed(title);
  }

  const list = h('div', { class: 'tabs', role: 'tablist', 'aria-label': label }, buttons);
  list.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = buttons.findIndex((button) => button.tabIndex === 0);
    show(titles[(at + step + titles.length) % titles.length], true);
  });
  show(titles.includes(chosen) ? chosen : titles[0]);
  return h('div', { class: 'tabbed' }, list, panel);
}
