import { h } from '../element.js';
import { icon } from '../icon.js';
import { refused } from './camera.js';
import { toWav } from './wav.js';

/**
 * A button that records from the microphone until it is pressed again.
 * @param {function(File)} taken  told of the recording, one channel of 16,000 samples a second as WAV
 */
export function recordButton(taken) {
  let recorder = null;
  const words = h('span', {}, 'Record');
  const button = h('button', { type: 'button', class: 'quiet small record', 'aria-pressed': 'false', onclick: toggle }, icon('microphone'), words);

  function show(isRecording, began) {
    button.classList.toggle('is-recording', isRecording);
    button.setAttribute('aria-pressed', String(isRecording));
    words.textContent = isRecording ? `Stop (${((performance.now() - began) / 1000).toFixed(0)} s)` : 'Record';
  }

  async function toggle() {
    if (recorder) {
      recorder.stop();
      return;
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (error) {
      await refused(error);
      return;
    }
    const pieces = [];
    const began = performance.now();
    const clock = setInterval(() => show(true, began), 500);
    recorder = new MediaRecorder(stream);
    recorder.addEventListener('dataavailable', (event) => pieces.push(event.data));
    recorder.addEventListener('stop', async () => {
      clearInterval(clock);
      stream.getTracks().forEach((track) => track.stop());
      recorder = null;
      show(false);
      taken(new File([await toWav(new Blob(pieces))], 'recording.wav', { type: 'audio/wav' }));
    });
    recorder.start();
    show(true, began);
  }
  return button;
}
