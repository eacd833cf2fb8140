// Curves of the monitor: pieces from the kernel put together, smoothed, aligned for drawing. No DOM.

export type Numbers = Float32Array<ArrayBuffer>;

/** One run's curves in buckets of `width` steps each; NaN where a number was not finite. */
export class Series {
  width = 1;
  loss: Numbers = new Float32Array(0);
  metric: Numbers = new Float32Array(0);
  /** Grows with every change. */
  version = 0;

  /** Take a piece: `values` holds loss, then metric, of the buckets from `first` on; what was known from there on is replaced. */
  take(width: number, first: number, values: Numbers): void {
    const count = values.length / 2;
    const kept = width === this.width ? Math.min(first, this.loss.length) : 0;
    if (kept < first) return; // a piece is missing in between: the next whole curve brings it
    this.width = width;
    this.loss = joined(this.loss, kept, values.subarray(0, count));
    this.metric = joined(this.metric, kept, values.subarray(count));
    this.version++;
  }

  /** The step in the middle of each bucket. */
  steps(last: number): number[] {
    return Array.from(this.loss, (_, i) => Math.min(i * this.width + (this.width + 1) / 2, Math.max(last, 1)));
  }
}

function joined(before: Numbers, kept: number, more: Numbers): Numbers {
  const made = new Float32Array(kept + more.length);
  made.set(before.subarray(0, kept));
  made.set(more, kept);
  return made;
}

/** A running average that forgets: 0 smooths nothing, towards 1 ever more. Gaps stay gaps. */
export function smoothed(values: ArrayLike<number>, strength: number): (number | null)[] {
  let sum = 0;
  let weight = 0;
  return Array.from(values, value => {
    if (!Number.isFinite(value)) return null;
    if (strength <= 0) return value;
    sum = strength * sum + (1 - strength) * value;
    weight = strength * weight + (1 - strength);
    return sum / weight;
  });
}

export interface Line {
  x: readonly number[];
  y: readonly (number | null)[];
}

/** Several lines over one row of x: null where a line has no point; undefined gaps are drawn through. */
export function aligned(lines: readonly Line[]): [number[], ...(number | null | undefined)[][]] {
  const all = [...new Set(lines.flatMap(line => [...line.x]))].sort((a, b) => a - b);
  const at = new Map(all.map((x, i) => [x, i]));
  return [
    all,
    ...lines.map(line => {
      const row = new Array<number | null | undefined>(all.length).fill(undefined);
      line.x.forEach((x, i) => {
        row[at.get(x)!] = line.y[i] ?? null;
      });
      return row;
    })
  ];
}

/** The value of a line at, or last before, a step; null if there is none. */
export function valueAt(line: Line, x: number): number | null {
  let low = 0;
  let high = line.x.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (line.x[middle]! <= x) low = middle + 1;
    else high = middle;
  }
  for (let i = low - 1; i >= 0 && i >= low - 2; i--) if (line.y[i] !== null) return line.y[i] ?? null;
  return null;
}

/** A number in few characters. */
export function brief(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined) return '–';
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return Number(value.toPrecision(Math.min(digits, 3))).toExponential().replace('e+', 'e');
  return String(Number(value.toPrecision(digits)));
}

/** Seconds in words: "0:07", "12:30", "3:04:05". */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => String(n).padStart(2, '0');
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Bytes in words. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(count, 1)) / 10));
  return `${brief(count / 2 ** (10 * power), 3)} ${units[power]}`;
}
