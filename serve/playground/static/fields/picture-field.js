import { h } from '../element.js';
import { icon } from '../icon.js';
import { size } from '../number-text.js';
import { takePhoto } from './camera.js';
import { dropZone, sampleFile } from './drop-zone.js';
import { FormError } from './form-error.js';

/**
 * A picture: dropped, pasted, chosen, taken with the camera, or one that comes with the page.
 * @returns {{element: Node, read: function(): Object, fill: function(string)}} `read` gives `{blob, name, type}` and
 *   throws FormError where there is none; `fill` takes the name of a sample
 */
export function pictureField() {
  let file = null;
  let url = null;
  let turn = 0;

  function take(given) {
    turn += 1;
    file = { blob: given, name: given.name || 'picture.png', type: given.type || 'application/octet-stream' };
    if (url) URL.revokeObjectURL(url);
    url = URL.createObjectURL(given);
    const facts = h('figcaption', {}, `${file.name} · ${size(given.size)}`);
    const picture = h('img', { src: url, alt: 'The chosen picture' });
    picture.addEventListener('load', () => facts.append(` · ${picture.naturalWidth} × ${picture.naturalHeight}`));
    // What a browser cannot show the service may still read, or say in words why not.
    picture.addEventListener('error', () => picture.replaceWith(h('p', { class: 'hint' }, 'This browser cannot show the file.')));
    zone.show(h('figure', { class: 'preview' }, picture, facts));
  }

  const photo = h('button', { type: 'button', class: 'quiet small', onclick: async () => {
    const taken = await takePhoto();
    if (taken) take(taken);
  } }, icon('camera'), 'Take a photo');
  const zone = dropZone('image', 'Drop or paste a picture here', take, navigator.mediaDevices && photo);
  return {
    element: h('div', { class: 'field' }, h('span', { class: 'label' }, 'Picture'), zone.element),
    read: () => {
      if (!file) throw new FormError('Choose a picture first.');
      return file;
    },
    fill: async (name) => {
      const mine = (turn += 1);
      const sample = await sampleFile(name);
      if (mine === turn) take(sample); // meanwhile another may have been chosen
    },
  };
}
