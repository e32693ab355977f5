import { svg } from '../element.js';

const WIDTH = 120;
const HEIGHT = 30;

/**
 * A small chart whose right edge is now. Lines are drawn over what is known; gaps stay gaps.
 * @param {number} points  how many are seen
 * @param {number} lines  how many lines
 * @param {number} least  what the scale reaches at least
 * @returns {{element: Node, draw: function(Array<Array<number|null>>)}} `draw` takes each line's values, oldest first
 */
export function lineChart(points, lines, least) {
  const area = svg('path', { class: 'chart-area' });
  const paths = Array.from({ length: lines }, (_, index) => svg('path', { class: `chart-line chart-line-${index + 1}` }));
  const element = svg('svg', { class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, area, ...paths);

  function draw(series) {
    const most = Math.max(least, ...series.flat().filter((value) => value !== null));
    const place = (values) => values.map((value, index) => [
      WIDTH - (values.length - 1 - index) * (WIDTH / (points - 1)), value === null ? null : HEIGHT - 1 - (value / most) * (HEIGHT - 3)]);
    series.forEach((values, index) => paths[index].setAttribute('d', lineOf(place(values))));
    area.setAttribute('d', areaOf(place(series.at(-1))));
  }
  return { element, draw };
}

function lineOf(places) {
  let pen = 'M';
  return places.map(([x, y]) => {
    if (y === null) pen = 'M';
    const step = y === null ? '' : `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    if (y !== null) pen = 'L';
    return step;
  }).join('');
}

function areaOf(places) {
  const known = places.filter(([, y]) => y !== null);
  if (known.length < 2) return '';
  return `M${known[0][0].toFixed(1)} ${HEIGHT}L${known.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L')}L${known.at(-1)[0].toFixed(1)} ${HEIGHT}Z`;
}
