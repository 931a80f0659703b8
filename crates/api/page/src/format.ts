// Numbers as people read them.

const SPACE = "\u202f";

/** Bytes in decimal units, three digits: `512 B`, `12.3 kB`. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? String(Math.round(value)) : digits(value)}${SPACE}${units[unit]}`;
}

/** Milliseconds as a duration: `840 µs`, `12.3 ms`, `1.52 s`. */
export function duration(ms: number): string {
  if (ms >= 999.5) return `${digits(ms / 1000)}${SPACE}s`;
  if (ms >= 1) return `${digits(ms)}${SPACE}ms`;
  return `${Math.round(ms * 1000)}${SPACE}µs`;
}

/** A mark on an axis of milliseconds: round numbers, so no more digits than it has. */
export function mark(ms: number): string {
  if (ms === 0) return "0";
  const [value, unit] = ms >= 1000 ? [ms / 1000, "s"] : [ms, "ms"];
  return `${Number(value.toPrecision(4))}${SPACE}${unit}`;
}

/** Three significant digits, no exponent. */
export function digits(value: number): string {
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** A share of one as a percentage. */
export function percent(share: number): string {
  return `${Math.round(share * 100)}${SPACE}%`;
}

/** `1 token`, `2 tokens`. */
export function count(number: number, noun: string): string {
  return `${number}${SPACE}${noun}${number === 1 ? "" : "s"}`;
}
