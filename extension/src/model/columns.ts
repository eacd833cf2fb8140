// A long picture read in columns, like a text: cut where only one edge passes, the parts set beside each other. And which
// of the pictures of a graph shows most of it in a pane. No DOM.
import type { Link } from './graph';
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
/** Room above a column: for the turn, and for words above it. */
const TOP = TURN + 14;
/** How much more of a picture must be seen before it is preferred to the one before. */
const BETTER = 1.08;

export interface Pane {
  width: number;
  height: number;
}

interface Segment {
  top: number;
  bottom: number;
  /** The edges that lead on to the next segment, all from one node, and where they are cut. */
  bridges: Curve[];
  at: number;
}

/**
 * The picture in columns at most `tallest` high where it can be cut so; the same picture where it cannot.
 * `words`: the width of what is written beside an edge.
 */
export function inColumns(inner: Inner, tallest: number, words: (link: Link) => number): Inner {
  const columns: Segment[][] = [];
  for (const segment of cut(inner)) {
    const column = columns.at(-1);
    // a column of next to nothing may be followed by what is a little too long
    const room = column && column.at(-1)!.bottom - column[0]!.top < tallest / 4 ? 1.25 * tallest : tallest;
    if (column && segment.bottom - column[0]!.top + TOP + TURN <= room) column.push(segment);
    else columns.push([segment]);
  }
  if (columns.length < 2) return inner;
  const base = Math.min(...inner.boxes.map(box => box.depth));
  // what comes through the border of the block belongs to the first column, what leaves it to the last
  const edge = inner.curves.filter(curve => curve.depth === base).flatMap(curve => curve.points.map(p => p.y));
  columns[0]![0]!.top = Math.min(columns[0]![0]!.top, ...edge);
  columns.at(-1)!.at(-1)!.bottom = Math.max(columns.at(-1)!.at(-1)!.bottom, ...edge);
  let x = 0;
  let height = 0;
  const moved: Inner = { width: 0, height: 0, boxes: [], curves: [], hidden: inner.hidden };
  const turns: { curve: Curve; tail: Point[]; x: number }[] = [];
  let pending: { bridges: Curve[]; at: number; x: number } | null = null;
  for (const column of columns) {
    const [top, bottom] = [column[0]!.top, column.at(-1)!.bottom];
    const within = (y: number) => y >= top - 0.5 && y <= bottom + 0.5;
    const boxes = inner.boxes.filter(box => within(box.y + box.height / 2));
    const curves = inner.curves.filter(curve => curve.points.every(p => within(p.y)));
    const all = [
      ...boxes.flatMap(box => [box.x, box.x + box.width]),
      ...curves.flatMap(curve => [...curve.points.map(p => p.x), curve.points[Math.floor(curve.points.length / 2)]!.x + words(curve.link) + 8])
    ];
    const left = Math.min(...all);
    const move = (p: Point) => ({ x: p.x - left + x + GAP / 2, y: p.y - top + TOP });
    for (const box of boxes) moved.boxes.push({ ...box, ...move(box) });
    for (const curve of curves) moved.curves.push({ ...curve, points: curve.points.map(move) });
    if (pending) for (const curve of pending.bridges) turns.push({ curve, tail: tailBelow(curve.points, pending.at).map(move), x: pending.x });
    x += Math.max(...all) - left + GAP;
    height = Math.max(height, bottom - top + TOP + TURN);
    const { bridges, at } = column.at(-1)!;
    pending = { bridges, at, x };
  }
  const place = new Map(moved.boxes.map(box => [box.node.id, box]));
  for (const { curve, tail, x: at } of turns) {
    const from = place.get(curve.from)!;
    moved.curves.push({ ...curve, turns: true, points: [...around({ x: from.x + from.width / 2, y: from.y + from.height }, tail[0]!, at), ...tail.slice(1)] });
  }
  for (const curve of moved.curves) if (curve.depth === base && curve.link.to === null) curve.points[curve.points.length - 1] = { ...curve.points.at(-1)!, y: height };
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

/** What of a spline lies behind the first place where it comes down to a height. */
function tailBelow(points: readonly Point[], y: number): Point[] {
  for (let i = 0; i + 3 < points.length; i += 3) {
    if (points[i + 3]!.y < y) continue;
    let [low, high] = [0, 1];
    const piece = points.slice(i, i + 4) as [Point, Point, Point, Point];
    for (let step = 0; step < 24; step++) {
      const t = (low + high) / 2;
      if (split(piece, t)[0]!.y < y) low = t;
      else high = t;
    }
    return [...split(piece, high), ...points.slice(i + 4)];
  }
  return [...points];
}

/** The second part of a cubic piece, from `t` on (de Casteljau). */
function split([a, b, c, d]: readonly [Point, Point, Point, Point], t: number): Point[] {
  const mix = (p: Point, q: Point) => ({ x: p.x + (q.x - p.x) * t, y: p.y + (q.y - p.y) * t });
  const [ab, bc, cd] = [mix(a, b), mix(b, c), mix(c, d)];
  const [abc, bcd] = [mix(ab, bc), mix(bc, cd)];
  return [mix(abc, bcd), bcd, cd, d];
}

/** Edges of one node that may lead on to the next column. */
const MOST_BRIDGES = 3;

/** The stretches of a picture between places that a single value passes. */
function cut(inner: Inner): Segment[] {
  const depth = Math.min(...inner.boxes.map(box => box.depth));
  const boxes = inner.boxes.filter(box => box.depth === depth).sort((a, b) => a.y - b.y);
  const curves = inner.curves.filter(curve => curve.depth === depth);
  const spans = curves.map(curve => ({ curve, low: Math.min(...curve.points.map(p => p.y)), high: Math.max(...curve.points.map(p => p.y)) }));
  const segments: Segment[] = [];
  const place = new Map(boxes.map(box => [box.node.id, box]));
  let top = boxes[0]?.y ?? 0;
  let bottom = top;
  for (const box of boxes) {
    if (box.y > bottom && bottom > top) {
      const at = (bottom + box.y) / 2;
      const passing = spans.filter(span => span.low < at && span.high > at).map(span => span.curve);
      const from = passing[0] && place.get(passing[0].from);
      const alike = passing.length <= MOST_BRIDGES && passing.every(curve => curve.from === passing[0]!.from && !curve.link.recurrent && curve.link.to !== null);
      // it must come from the last box above, or it would run over others
      if (from && alike && from.y + from.height >= bottom - 1) {
        segments.push({ top, bottom, bridges: passing, at });
        top = box.y;
      }
    }
    bottom = Math.max(bottom, box.y + box.height);
  }
  segments.push({ top, bottom, bridges: [], at: bottom });
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
