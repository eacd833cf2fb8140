// A long picture read in columns, like a text: cut where only one edge passes, the parts set beside each other. And which
// of the pictures of a graph shows most of it in a pane. No DOM.
import type { Curve, Inner, Point, Scene } from './layout';

/** Smallest scale at which every text has nine pixels: the smallest font has 10.5. */
export const READABLE = 9.05 / 10.5;
/** No picture is enlarged beyond this. */
export const LARGEST_FIT = 1.25;
/** Pixels of a pane around a picture. */
export const FRAME = { x: 24, y: 36 };
const GAP = 56;
/** Room above and below a column for the turns of the edges that lead to the next. */
const TURN = 26;
/** How much more of a picture must be seen before it is preferred to the one before. */
const BETTER = 1.08;

export interface Pane {
  width: number;
  height: number;
}

interface Segment {
  top: number;
  bottom: number;
  /** The edge that leads to the next segment. */
  bridge: Curve | null;
}

/** The picture in columns at most `tallest` high where it can be cut so; the same picture where it cannot. */
export function inColumns(inner: Inner, tallest: number): Inner {
  const segments = cut(inner);
  const columns: Segment[][] = [];
  for (const segment of segments) {
    const column = columns.at(-1);
    if (column && segment.bottom - column[0]!.top + 2 * TURN <= tallest) column.push(segment);
    else columns.push([segment]);
  }
  if (columns.length < 2) return inner;
  let x = 0;
  let height = 0;
  const moved: Inner = { width: 0, height: 0, boxes: [], curves: [], hidden: inner.hidden };
  const bridges = new Map<Curve, number>();
  for (const column of columns) {
    const [top, bottom] = [column[0]!.top, column.at(-1)!.bottom];
    const within = (y: number) => y >= top - 0.5 && y <= bottom + 0.5;
    const boxes = inner.boxes.filter(box => within(box.y + box.height / 2));
    const curves = inner.curves.filter(curve => curve.points.every(p => within(p.y)));
    const all = [...boxes.flatMap(box => [box.x, box.x + box.width]), ...curves.flatMap(curve => curve.points.map(p => p.x))];
    const left = Math.min(...all);
    const move = (p: Point) => ({ x: p.x - left + x + GAP / 2, y: p.y - top + TURN });
    for (const box of boxes) moved.boxes.push({ ...box, ...move(box) });
    for (const curve of curves) moved.curves.push({ ...curve, points: curve.points.map(move) });
    x += Math.max(...all) - left + GAP;
    height = Math.max(height, bottom - top + 2 * TURN);
    const bridge = column.at(-1)!.bridge;
    if (bridge) bridges.set(bridge, x);
  }
  const place = new Map(moved.boxes.map(box => [box.node.id, box]));
  for (const [bridge, at] of bridges) {
    const [from, to] = [place.get(bridge.from)!, place.get(bridge.to)!];
    const start = { x: from.x + from.width / 2, y: from.y + from.height };
    const end = { x: to.x + to.width / 2, y: to.y };
    moved.curves.push({ ...bridge, points: around(start, end, at) });
  }
  return { ...moved, width: x + GAP / 2, height };
}

/** Down, up between the columns, and down again onto the target. */
function around(start: Point, end: Point, x: number): Point[] {
  const [low, high] = [start.y - 8, end.y + 8];
  return [
    start, { x: start.x, y: start.y + TURN }, { x, y: start.y + TURN }, { x, y: low },
    { x, y: low }, { x, y: high }, { x, y: high },
    { x, y: end.y - TURN }, { x: end.x, y: end.y - TURN }, end
  ];
}

/** The stretches of a picture between places that a single edge passes. */
function cut(inner: Inner): Segment[] {
  const boxes = inner.boxes.filter(box => box.depth === 0).sort((a, b) => a.y - b.y);
  const curves = inner.curves.filter(curve => curve.depth === 0);
  const spans = curves.map(curve => ({ curve, low: Math.min(...curve.points.map(p => p.y)), high: Math.max(...curve.points.map(p => p.y)) }));
  const segments: Segment[] = [];
  const place = new Map(boxes.map(box => [box.node.id, box]));
  let top = boxes[0]?.y ?? 0;
  let bottom = top;
  for (const box of boxes) {
    if (box.y > bottom && bottom > top) {
      const middle = (bottom + box.y) / 2;
      const passing = spans.filter(span => span.low < middle && span.high > middle);
      const only = passing.length === 1 ? passing[0]!.curve : null;
      const from = only && place.get(only.from);
      const to = only && place.get(only.to);
      // the edge must lead from the last box above to the first below, or it would run over others
      if (only && !only.link.recurrent && from && to && from.y + from.height >= bottom - 1 && to.y <= box.y + 1) {
        segments.push({ top, bottom, bridge: only });
        top = box.y;
      }
    }
    bottom = Math.max(bottom, box.y + box.height);
  }
  segments.push({ top, bottom, bridge: null });
  return segments;
}

/** The scale at which a picture is first shown: all of it, unless that is too small to read. */
export function firstScale(scene: Pane, pane: Pane): number {
  const all = Math.min((pane.width - FRAME.x) / scene.width, (pane.height - FRAME.y) / scene.height);
  return Math.min(LARGEST_FIT, Math.max(READABLE, all));
}

/** How much of a picture is seen at first, from 0 to 1. */
export function share(scene: Pane, pane: Pane): number {
  const scale = firstScale(scene, pane);
  return Math.min(1, pane.width / (scene.width * scale)) * Math.min(1, pane.height / (scene.height * scale));
}

/** Of pictures in order of preference, the one that shows most; a later one must show more by a good deal. */
export function most(scenes: readonly Scene[], pane: Pane): Scene {
  return scenes.reduce((best, scene) => (share(scene, pane) > BETTER * share(best, pane) ? scene : best));
}
