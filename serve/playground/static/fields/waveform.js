import { h, svg } from '../element.js';
import { icon } from '../icon.js';
import { decode } from './wav.js';

const BARS = 128;
const HEIGHT = 48;

/**
 * A sound to be listened to: its waveform, along which one can go with the mouse or the arrow keys.
 * @param {Blob} blob
 * @returns {{element: Node, playFrom: function(number), onTime: function(function(number)), seconds: Promise<number>}}
 *   `seconds` is 0 where the browser cannot read it
 */
export function waveform(blob) {
  const audio = new Audio(URL.createObjectURL(blob));
  const bars = svg('svg', { class: 'wave', viewBox: `0 0 ${BARS} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  const played = bars.cloneNode();
  played.classList.add('is-played');
  const position = h('input', { type: 'range', min: 0, max: 1, step: 'any', 'aria-label': 'Position in the sound' });
  position.value = 0;
  const button = h('button', { type: 'button', class: 'round', 'aria-label': 'Play' }, icon('play'));
  const listeners = [];

  const seconds = decode(blob).then((sound) => {
    const path = shape(sound.getChannelData(0));
    [bars, played].forEach((each) => each.append(svg('path', { d: path })));
    position.max = sound.duration;
    return sound.duration;
  }, () => 0);

  function follow() {
    const share = audio.currentTime / (Number(position.max) || 1);
    position.value = audio.currentTime;
    position.setAttribute('aria-valuetext', `${audio.currentTime.toFixed(1)} seconds`);
    played.style.setProperty('clip-path', `inset(0 ${(1 - share) * 100}% 0 0)`);
    listeners.forEach((listener) => listener(audio.currentTime));
    if (!audio.paused) requestAnimationFrame(follow);
  }
  function show() {
    button.replaceChildren(icon(audio.paused ? 'play' : 'pause'));
    button.setAttribute('aria-label', audio.paused ? 'Play' : 'Pause');
    follow();
  }
  button.addEventListener('click', () => (audio.paused ? audio.play().catch(() => {}) : audio.pause()));
  position.addEventListener('input', () => {
    audio.currentTime = Number(position.value);
    follow();
  });
  ['play', 'pause', 'ended'].forEach((name) => audio.addEventListener(name, show));
  follow();

  return {
    element: h('div', { class: 'player' }, button, h('div', { class: 'wave-box' }, bars, played, position)),
    playFrom: (second) => {
      audio.currentTime = second;
      audio.play().catch(() => {});
    },
    onTime: (listener) => listeners.push(listener),
    seconds,
  };
}

/** One bar for each stretch of samples, as high as its loudest one, mirrored at the middle. */
function shape(samples) {
  const step = samples.length / BARS;
  const peaks = Array.from({ length: BARS }, (_, bar) => {
    let peak = 0;
    for (let i = Math.floor(bar * step); i < (bar + 1) * step && i < samples.length; i += 1) peak = Math.max(peak, Math.abs(samples[i]));
    return peak;
  });
  const loudest = Math.max(...peaks, 1e-6);
  return peaks.map((peak, bar) => {
    const half = Math.max(0.75, (peak / loudest) * (HEIGHT / 2 - 1));
    return `M${bar + 0.5} ${(HEIGHT / 2 - half).toFixed(2)}V${(HEIGHT / 2 + half).toFixed(2)}`;
  }).join('');
}
