/**
 * Makes an element.
 * @param {string} tag  name of the element
 * @param {Object} attributes  `on…` are listeners, `style` an object of CSS properties, all else attributes; one that
 *   is false, null or undefined is left out
 * @param {...(Node|string|number|null|Array)} children  nodes and texts; null is left out
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    // The page's policy forbids `style` as an attribute; properties that are set one by one it allows.
    else if (name === 'style') Object.entries(value).forEach((pair) => element.style.setProperty(...pair));
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

/** Makes an SVG element, with attributes and children as `h` takes them. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

let made = 0;

/** An id that no other element of the page has. */
export function freshId(prefix) {
  made += 1;
  return `${prefix}-${made}`;
}
