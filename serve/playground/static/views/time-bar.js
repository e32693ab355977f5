import { h } from '../element.js';
import { duration } from '../number-text.js';

const STAGES = ['queue', 'preprocess', 'forward', 'postprocess'];

/** The entries of a `Server-Timing` header: name to milliseconds. */
export function timings(header) {
  const entries = [...(header ?? '').matchAll(/([\w-]+);dur=([\d.]+)/g)];
  return Object.fromEntries(entries.map(([, name, milliseconds]) => [name, Number(milliseconds)]));
}

/** Where the time of an answer went, as a bar of stages with their milliseconds; null where nothing tells. */
export function timeBar(header) {
  const times = timings(header);
  if (times.total === undefined || times.forward === undefined) return null;
  const known = STAGES.reduce((sum, stage) => sum + times[stage], 0);
  const parts = [...STAGES.map((stage) => [stage, times[stage]]), ['other', Math.max(0, times.total - known)]];
  const whole = Math.max(times.total, known) || 1;
  return h('div', { class: 'time' },
    h('div', { class: 'time-bar', 'aria-hidden': 'true' },
      parts.map(([stage, value]) => h('span', { class: `stage-${stage}`, style: { 'flex-grow': value / whole } }))),
    h('dl', { class: 'time-legend', 'aria-label': 'Where the time went' },
      parts.map(([stage, value]) => h('div', {}, h('dt', {}, h('span', { class: `dot stage-${stage}`, 'aria-hidden': 'true' }), stage), h('dd', {}, duration(value))))));
}
