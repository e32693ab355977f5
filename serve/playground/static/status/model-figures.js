import { quantile } from './quantile.js';

/**
 * What one model did between two scrapes. Rates are a second; what nothing was measured of is null.
 * @param {Map} before  the model's samples at the earlier scrape; empty where there was none
 * @param {Map} now
 * @param {number} seconds  between them
 * @returns {{rate: number, p50: number, p99: number, rows: number, padding: number, waiting: number}} quantiles in
 *   seconds, `rows` the mean of a batch, `padding` a share
 */
export function modelFigures(before, now, seconds) {
  // What a replica that ended had counted may be gone from one scrape to the next.
  const more = (name) => Math.max(0, (now.get(name) ?? 0) - (before.get(name) ?? 0));
  const mean = (name) => (more(`${name}_count`) ? more(`${name}_sum`) / more(`${name}_count`) : null);
  const earlier = before.get('request_seconds_bucket') ?? new Map();
  const counts = new Map([...(now.get('request_seconds_bucket') ?? [])].map(([bound, count]) => [bound, Math.max(0, count - (earlier.get(bound) ?? 0))]));
  return {
    rate: more('requests_total') / seconds,
    p50: quantile(0.5, counts),
    p99: quantile(0.99, counts),
    rows: mean('batch_rows'),
    padding: mean('padding_ratio'),
    waiting: now.get('waiting_rows') ?? 0,
  };
}
