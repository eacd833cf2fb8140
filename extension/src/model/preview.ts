// One minibatch to look at: what the kernel tells of it, and the arithmetic of drawing it. No DOM.
import type { StreamState, Picture, Content } from '../protocol/state';

export type { StreamState, Picture, Cell, Content, Traced, Measured, Match } from '../protocol/state';

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
  const { sequences, total } = content;
  const count = total === null || sequences <= total
    ? `${sequences.toLocaleString('en')}${total === null ? '' : ` of ${total.toLocaleString('en')}`} sequences`
    : `${sequences.toLocaleString('en')} sequences, of ${total.toLocaleString('en')} that are read again and again`;
  const parts = [count, `${content.samples.toLocaleString('en')} samples`];
  if (content.sweep !== null) parts.push(`sweep ${content.sweep + 1}`);
  if (content.leftOut) parts.push(`${content.leftOut} left out`);
  if (content.endsSweep) parts.push('the sweep ends here');
  return content.sequences || content.leftOut ? parts.join(', ') : 'there is no minibatch';
}

/** What lies at a pixel of a thinned picture: its place in the data and its value, as far as a byte can tell it. */
export function pixelWords(picture: Picture, column: number, row: number, heat: boolean): string {
  const { width, height, channels, pixels, black, white, exact } = picture;
  const full = (at: number, shown: number, all: number) => (shown > 1 ? Math.round((at * (all - 1)) / (shown - 1)) : 0);
  const [x, y] = [full(column, width, picture.fullWidth), full(row, height, picture.fullHeight)];
  const values = Array.from({ length: channels }, (_, c) => black + ((white - black) * pixels.getUint8((row * width + column) * channels + c)) / 255);
  const place = heat ? `frame ${x}, number ${y}` : `row ${y}, column ${x}`;
  return `${place}: ${exact ? '' : 'about '}${values.map(v => String(Number(v.toPrecision(3)))).join(', ')}`;
}

/** How much larger a picture is drawn so that its longer side has at least ``least`` pixels; never smaller. */
export function enlarged(picture: Picture, least: number): number {
  return Math.max(1, least / Math.max(picture.width, picture.height, 1));
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
