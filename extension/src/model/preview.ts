// One minibatch to look at: what the kernel tells of it, and the arithmetic of drawing it. No DOM.

export interface StreamState {
  name: string;
  form: string;
  shape: number[];
  dtype: string;
  storage: string;
  shortest: number;
  longest: number;
  notFinite: number;
}

export interface Picture {
  width: number;
  height: number;
  channels: number;
  /** Bytes, row by row. */
  pixels: DataView;
  words: string;
}

export type Cell =
  | ({ form: 'image' | 'heat' } & Picture)
  | { form: 'curve'; low: number; high: number; points: number[]; words: string }
  | { form: 'tokens'; tokens: string[]; more: number; words: string }
  | { form: 'sparse'; frames: { entries: [string, number | null][]; more: number }[]; more: number; words: string }
  | { form: 'numbers'; rows: (number | null)[][]; more: number; words: string }
  | { form: 'none'; words: string };

export interface Content {
  number: number;
  samples: number;
  sequences: number;
  sweep: number | null;
  endsSweep: boolean;
  leftOut: number;
  more: number;
  streams: StreamState[];
  items: { name: string; cells: Cell[] }[];
  size: number;
  order: string;
  total: number | null;
  last: boolean;
  /** Whether the source has another order than the one shown. */
  shuffles: boolean;
  /** Whether it is known where training is. */
  follows: boolean;
  /** [place, cause, all words] */
  defects: [string, string, string][];
  /** Streams whose transforms can be shown. */
  steps: string[];
}

export interface Traced {
  sequence: number;
  name: string;
  streams: { name: string; steps: (Picture & { kind: string; draws: string[] })[] }[];
}

export interface Measured {
  lengths: number[];
  edges: number[];
  shortest: number;
  longest: number;
  mean: number;
  waste: number;
  lengths_basis: string;
  basis: string;
  streams: {
    name: string;
    low: number;
    high: number;
    mean: number;
    not_zero: number;
    not_finite: number;
    classes: [string, number][];
    classCount: number;
    balance: string[];
  }[];
}

export interface Match {
  input: string;
  stream: string;
  expects: string;
  arrives: string;
  state: 'fits' | 'wrong' | 'unused';
  problem: string;
  fix: string;
}

const FREE = [-1, -3];

/** "3 x 28 x 28"; a dimension of any size is "*". */
export function shapeWords(shape: readonly number[]): string {
  return shape.length ? shape.map(d => (FREE.includes(d) ? '*' : String(d))).join(' x ') : 'scalar';
}

export function lengthWords(shortest: number, longest: number): string {
  if (longest === shortest) return longest === 1 ? '1 sample' : `${longest} samples`;
  return `${shortest} to ${longest} samples`;
}

/** A number for eyes: at most four figures. */
export function short(value: number | null): string {
  return value === null ? 'not finite' : String(Number(value.toPrecision(4)));
}

/** What the head of a page says. */
export function pageWords(content: Content): string {
  const of = content.total === null ? '' : ` of ${content.total.toLocaleString('en')}`;
  const parts = [`${content.sequences.toLocaleString('en')}${of} sequences`, `${content.samples.toLocaleString('en')} samples`];
  if (content.sweep !== null) parts.push(`sweep ${content.sweep + 1}`);
  if (content.leftOut) parts.push(`${content.leftOut} left out`);
  if (content.endsSweep) parts.push('the sweep ends here');
  return content.sequences || content.leftOut ? parts.join(', ') : 'there is no minibatch';
}

/** Red, green, blue and opacity of every pixel; one channel is grey for images, a colour scale for heat maps. */
export function rgba(picture: Picture, heat: boolean): Uint8ClampedArray<ArrayBuffer> {
  const { width, height, channels, pixels } = picture;
  const out = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < width * height; i++) {
    const value = pixels.getUint8(i * channels);
    const colour = channels === 3 ? [value, pixels.getUint8(i * 3 + 1), pixels.getUint8(i * 3 + 2)] : heat ? heatColour(value / 255) : [value, value, value];
    out.set(colour, i * 4);
    out[i * 4 + 3] = 255;
  }
  return out;
}

const STOPS: readonly (readonly [number, number, number])[] = [[12, 24, 66], [35, 88, 158], [46, 154, 158], [164, 205, 118], [253, 231, 140]];

/** From dark blue (0) over green to light yellow (1): the order is seen without colours too. */
export function heatColour(fraction: number): [number, number, number] {
  const at = Math.max(0, Math.min(1, fraction)) * (STOPS.length - 1);
  const from = STOPS[Math.min(Math.floor(at), STOPS.length - 2)]!;
  const to = STOPS[Math.min(Math.floor(at), STOPS.length - 2) + 1]!;
  const part = at - Math.min(Math.floor(at), STOPS.length - 2);
  return [0, 1, 2].map(k => Math.round(from[k]! + (to[k]! - from[k]!) * part)) as [number, number, number];
}

/** The points of a curve in a box, as SVG writes them. */
export function curvePoints(points: readonly number[], low: number, high: number, width: number, height: number): string {
  const span = high - low || 1;
  const pairs = points.length / 2;
  return points.map((value, i) => `${((Math.floor(i / 2) + 0.5) * width / pairs).toFixed(1)},${(height * (1 - (value - low) / span)).toFixed(1)}`).join(' ');
}

/** Heights of bars, 0..1; what occurs at all is seen. */
export function bars(counts: readonly number[]): number[] {
  const most = Math.max(...counts, 1);
  return counts.map(n => (n ? Math.max(0.02, n / most) : 0));
}

/** The range of lengths of one bar. */
export function binWords(edges: readonly number[], i: number, count: number): string {
  const [from, to] = [edges[i]!, edges[i + 1]! - 1];
  return `${from >= to ? from : `${from} to ${to}`} samples: ${count.toLocaleString('en')} sequences`;
}

/** Whether sequences are small enough to stand side by side: an image and short labels. */
export function isGrid(streams: readonly StreamState[]): boolean {
  return streams.some(s => s.form === 'image') && streams.every(s => s.longest <= 1 && ['image', 'tokens', 'numbers'].includes(s.form));
}
