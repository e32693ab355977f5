/**
 * The value below which a share of all values lies; within a bucket they count as evenly spread.
 * @param {number} share  0 to 1
 * @param {Map<number, number>} counts  upper bound to how many values there were up to it, Infinity among them
 * @returns {number|null} null where there were none; the largest finite bound where it lies beyond
 */
export function quantile(share, counts) {
  const bounds = [...counts.keys()].sort((a, b) => a - b);
  const wanted = share * (counts.get(Infinity) ?? 0);
  if (!wanted) return null;
  let lower = 0;
  let below = 0;
  for (const bound of bounds) {
    const count = counts.get(bound);
    if (count >= wanted && count > below) {
      return bound === Infinity ? lower : lower + ((bound - lower) * (wanted - below)) / (count - below);
    }
    if (bound !== Infinity) [lower, below] = [bound, Math.max(below, count)];
  }
  return lower;
}
