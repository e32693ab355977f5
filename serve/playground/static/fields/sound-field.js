import { h } from '../element.js';
import { size } from '../number-text.js';
import { dropZone, sampleFile } from './drop-zone.js';
import { FormError } from './form-error.js';
import { recordButton } from './recorder.js';
import { toWav } from './wav.js';
import { waveform } from './waveform.js';

// What the service reads as it is; all else is converted, if the browser can.
const READ = /\.(wav|flac|ogg|oga|opus|mp3|m4a|mp4|webm)$/i;

/**
 * A recording: dropped, pasted, chosen, recorded, or one that comes with the page; with its waveform.
 * @returns {{element: Node, read: function(): Object, fill: function(string)}} `read` gives `{blob, name, type, player}`
 *   and throws FormError where there is none; `fill` takes the name of a sample
 */
export function soundField() {
  let file = null;
  let turn = 0;

  async function take(given) {
    const mine = (turn += 1);
    const sent = READ.test(given.name) ? given : await converted(given);
    if (mine !== turn) return;
    const player = waveform(sent);
    file = { blob: sent, name: sent.name, type: sent.type || 'application/octet-stream', player };
    const facts = h('figcaption', {}, `${file.name} · ${size(sent.size)}`);
    player.seconds.then((seconds) => facts.append(seconds ? ` · ${seconds.toFixed(1)} s` : ' · this browser cannot play it'));
    zone.show(h('figure', { class: 'preview' }, player.element, facts));
  }

  const zone = dropZone('audio', 'Drop a recording here', take, navigator.mediaDevices && recordButton(take));
  return {
    element: h('div', { class: 'field' }, h('span', { class: 'label' }, 'Recording'), zone.element),
    read: () => {
      if (!file) throw new FormError('Choose or make a recording first.');
      return file;
    },
    fill: async (name) => {
      const mine = (turn += 1);
      const sample = await sampleFile(name);
      if (mine === turn) await take(sample);
    },
  };
}

async function converted(given) {
  try {
    return new File([await toWav(given)], `${given.name.replace(/\.\w+$/, '')}.wav`, { type: 'audio/wav' });
  } catch {
    return given; // the service says what is wrong with it
  }
}
