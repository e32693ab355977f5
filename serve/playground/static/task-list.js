import { h } from './element.js';
import { GROUPS, taskEntry } from './tasks/registry.js';

/** The tasks that are served, in their groups, as links; `show` marks the one that is open. */
export function taskList(element, served) {
  const groups = new Map(GROUPS.map((group) => [group, []]));
  for (const { task, models } of served) {
    const { title, group } = taskEntry(task);
    const names = models.map(({ id }) => id).join(', ');
    groups.get(group).push(h('li', {}, h('a', { href: `#${task}` }, h('span', { class: 'task-title' }, title), h('span', { class: 'task-models' }, names))));
  }
  element.replaceChildren(...[...groups].filter(([, links]) => links.length).map(([group, links]) => h('div', { class: 'task-group' }, h('h2', {}, group), h('ul', {}, links))));
  return {
    show: (task) =>
      element.querySelectorAll('a').forEach((link) => {
        const isOpen = link.getAttribute('href') === `#${task}`;
        if (isOpen) link.setAttribute('aria-current', 'page');
        else link.removeAttribute('aria-current');
        // On a narrow screen the list is a strip that is scrolled sideways.
        if (isOpen && element.scrollWidth > element.clientWidth) element.scrollLeft = link.offsetLeft - 16;
      }),
  };
}
