/** A share of 0 to 1 in percent; small ones keep a digit that says something. */
export function percent(share) {
  const value = share * 100;
  if (value === 0 || value >= 9.95) return `${value.toFixed(value >= 99.95 || value === 0 ? 0 : 1)} %`;
  return value < 0.01 ? '< 0.01 %' : `${value.toFixed(value < 0.1 ? 3 : 2)} %`;
}

/** Milliseconds, as seconds from one second on. */
export function duration(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(2)} s`;
  return `${milliseconds.toFixed(milliseconds < 10 ? 2 : milliseconds < 100 ? 1 : 0)} ms`;
}

/** Bytes, as KB or MB. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** A count and its noun, in the plural where that is right. */
export function counted(count, noun) {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}
