// Where nodes go. Every open block is laid out by itself and then is one large node of the block around it, so that opening
// a block lays out two small graphs and not one large one; layouts are kept by their DOT text. No DOM: Graphviz runs behind
// the `Engine` interface, in a web worker.
import type { Graph, GraphNode, Link } from './graph';
import { FRAME, inColumns, most, READABLE, share, type Pane } from './columns';
import { axisName, shapeText, subtitleOf, titleOf } from './graph';

export interface Point {
  x: number;
  y: number;
}

export interface Box {
  node: GraphNode;
  x: number;
  y: number;
  width: number;
  height: number;
  /** An open block: its children are drawn on it. */
  open: boolean;
  depth: number;
}

export interface Curve {
  from: string;
  to: string;
  link: Link;
  /** A cubic spline: start, then three points per piece. */
  points: Point[];
  depth: number;
  /** Where its words begin (baseline); null if it has none. */
  label: Point | null;
  /** It leads up to the next column. */
  turns?: boolean;
  /** There is no room for its words. */
  crowded: boolean;
}

/** Where values flow to, and whether edges carry words. */
export interface Look {
  direction: 'down' | 'right';
  shapes: boolean;
}

export interface Scene {
  direction: Look['direction'];
  /** Broken into columns that are read one after the other. */
  columns: boolean;
  width: number;
  height: number;
  boxes: Map<string, Box>;
  curves: Curve[];
  /** Children left out somewhere because there are too many. */
  hidden: number;
}

/** Turns DOT into Graphviz' plain text. */
export interface Engine {
  plain(dot: string): Promise<string>;
}

const POINTS = 72;
const HEADER = 30;
const MARGIN = 14;
const PORT = 10;
const CARD_PADDING = 22;
const LINE = { title: 18, more: 14 };
const WIDEST = 230;
/** How far right of its edge the words of an edge begin. */
const LABEL_SHIFT = 7;
/** Height of a painted value. */
const VALUE = 12;

type Measure = (text: string, size: number, bold: boolean) => number;
let measured: Measure | null = null;

/** Measure text with a document's fonts from now on, instead of estimating its width. */
export function measureWith(measure: Measure | null): void {
  measured = measure;
}

/** Width of text in pixels at a font size; without a document near enough to lay out cards. */
export function textWidth(text: string, size: number, bold = false): number {
  if (measured) return measured(text, size, bold);
  let units = 0;
  for (const c of text) {
    if ('iljI.,:;|!\'()[]ft '.includes(c)) units += 0.34;
    else if ('mwMW@%'.includes(c)) units += 0.92;
    else if (c > '\u2e80') units += 1;
    else if (c >= 'A' && c <= 'Z') units += 0.7;
    else units += 0.57;
  }
  return units * size * (bold ? 1.08 : 1);
}

/** Text cut to a width in pixels. */
export function fitText(text: string, size: number, width: number, bold = false): string {
  if (text.length <= 1000 && textWidth(text, size, bold) <= width) return text;
  let cut = [...text.slice(0, 1000)].slice(0, Math.ceil(width / (size * 0.25)));
  while (cut.length > 1 && textWidth(`${cut.join('')}…`, size, bold) > width) cut = cut.slice(0, -1);
  return `${cut.join('')}…`;
}

/** 1 parameter, 2,000 parameters. */
export function counted(n: number, what: string): string {
  return `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`;
}

/** A parameter on the card of a node that uses it; a constant of one number is that number. */
function heldText(node: GraphNode, held: GraphNode): string {
  const value = held.attributes.value;
  const what = typeof value === 'number' ? String(Number(value.toPrecision(6))) : shapeText(held.shape);
  // files name a weight after its layer: "conv1.weight" on the card of conv1
  const own = node.name && held.name.startsWith(node.name) ? held.name.slice(node.name.length).replace(/^[._/]+/, '') : held.name;
  const name = own || (typeof value === 'number' ? '' : held.kind);
  return `${name ? `${name} ` : ''}${what}${held.kind === 'parameter' && held.host !== node.id ? ' shared' : ''}`;
}

/** What is said of how a node differs from another model's. */
export function changeText(node: GraphNode): string {
  if (node.change === 'added') return 'new';
  return node.note || node.change || '';
}

/** One line on a card: what a node is called, what it holds, or how it differs. */
export interface CardLine {
  text: string;
  kind: 'more' | 'held' | 'told';
}

/** Lines of a card that tell of a difference. */
const MOST_TOLD = 2;

/** The lines on a node's card, below its title. */
export function cardLines(graph: Graph, node: GraphNode): CardLine[] {
  const lines: CardLine[] = [];
  const add = (kind: CardLine['kind'], ...texts: string[]) => lines.push(...texts.filter(Boolean).map(text => ({ text, kind })));
  add('more', subtitleOf(node));
  const on = graph.parametersOn(node.id);
  if (on.length) add('held', on.map(p => heldText(node, p)).join(', '));
  else if (node.extra) add('held', node.extra);
  else if (graph.isBlock(node.id) && node.parameters) add('held', counted(node.parameters, 'parameter'));
  else if (node.kind === 'parameter' || node.kind === 'constant') add('held', shapeText(node.shape));
  if (node.change) add('told', ...changeText(node).split('; ').slice(0, MOST_TOLD));
  return lines;
}

export function cardSize(graph: Graph, node: GraphNode): { width: number; height: number } {
  const lines = cardLines(graph, node);
  const buttons = graph.isBlock(node.id) ? 22 : 0;
  const width = Math.max(textWidth(titleOf(node).slice(0, 200), 13, true), ...lines.map(line => textWidth(line.text.slice(0, 200), 11, line.kind === 'told')), 44) + buttons;
  return { width: Math.min(width, WIDEST) + CARD_PADDING, height: 16 + LINE.title + lines.length * LINE.more };
}

/** What stands beside an edge, axes apart: the dynamic axes but the batch, which is on all, and the shape. */
export function flowParts(link: Link): { text: string; axis: string }[] {
  if (link.recurrent) return []; // it repeats what stands elsewhere
  const axes = link.axes.filter(axis => axis !== '#').map(axis => ({ text: `${axisName(axis)} `, axis }));
  return [...axes, { text: shapeText(link.shape), axis: '' }];
}

export function flowText(link: Link): string {
  return flowParts(link).map(part => part.text).join('');
}

/** What is laid out of one level and of what is open in it. */
export interface Inner {
  width: number;
  height: number;
  boxes: Box[];
  curves: Curve[];
  hidden: number;
}

/** The block that is broken into columns where it is higher than wished, and whether that was so. */
interface Long {
  block: string | null;
  tallest: number;
  broken: boolean;
}

/** The level that holds what matters: of open blocks that are all of the picture, the innermost. */
function longest(graph: Graph, opened: ReadonlySet<string>): string | null {
  let block: string | null = null;
  for (;;) {
    const steps: GraphNode[] = graph.level(block).nodes.filter(node => node.kind !== 'input' && node.kind !== 'output' && node.kind !== 'placeholder');
    if (steps.length !== 1 || !opened.has(steps[0]!.id)) return block;
    block = steps[0]!.id;
  }
}

/** Put the one input (and output) of a block in columns (whose inside is so deep) to where its value enters (or leaves). */
function drawNear(inner: Inner, depth: number): void {
  for (const kind of ['input', 'output'] as const) {
    const ends = inner.boxes.filter(box => box.depth === 0 && box.node.kind === kind);
    const outer = inner.curves.filter(curve => (kind === 'input' ? curve.from : curve.to) === ends[0]?.node.id);
    const border = inner.curves.find(curve => curve.depth === depth && (kind === 'input' ? curve.link.from === null : curve.link.to === null));
    if (ends.length !== 1 || outer.length !== 1 || !border) continue;
    const x = kind === 'input' ? border.points[0]!.x : border.points.at(-1)!.x;
    ends[0]!.x = x - ends[0]!.width / 2;
    outer[0]!.points = outer[0]!.points.map(p => ({ x, y: p.y }));
  }
}

/** Lays out graphs, and remembers what it has laid out. */
export class Layout {
  private readonly known = new Map<string, Promise<Plain>>();
  /** How many graphs Graphviz was asked to lay out; values painted on nodes must not change it. */
  runs = 0;

  constructor(private readonly engine: Engine, private readonly look: Look = { direction: 'down', shapes: true }) {}

  /** `tallest`: a higher picture that flows downwards is broken into columns. */
  async scene(graph: Graph, opened: ReadonlySet<string>, tallest = Infinity): Promise<Scene> {
    const long = { block: longest(graph, opened), tallest: this.look.direction === 'down' ? tallest : Infinity, broken: false };
    const inner = await this.inside(graph, null, opened, 0, long);
    if (long.broken && long.block !== null) drawNear(inner, graph.path(long.block).length);
    placeWords(inner, this.look);
    return {
      direction: this.look.direction,
      columns: long.broken,
      width: inner.width,
      height: inner.height,
      boxes: new Map(inner.boxes.map(box => [box.node.id, box])),
      curves: inner.curves,
      hidden: inner.hidden
    };
  }

  private plain(dot: string): Promise<Plain> {
    let placed = this.known.get(dot);
    if (!placed) {
      this.runs++;
      placed = this.engine.plain(dot).then(parsePlain);
      this.known.set(dot, placed);
      if (this.known.size > 400) this.known.delete(this.known.keys().next().value!);
      placed.catch(() => this.known.delete(dot));
    }
    return placed;
  }

  private async inside(graph: Graph, block: string | null, opened: ReadonlySet<string>, depth: number, long: Long): Promise<Inner> {
    const level = graph.level(block);
    const open = await Promise.all(
      level.nodes.map(node => (opened.has(node.id) ? this.inside(graph, node.id, opened, depth + 1, long) : null))
    );
    const sizes = level.nodes.map((node, i) => {
      const inner = open[i];
      const card = cardSize(graph, node);
      return inner ? { width: Math.max(inner.width, card.width), height: inner.height + HEADER } : card;
    });
    const number = new Map<string | null, number>(level.nodes.map((node, i) => [node.id, i]));
    const across = this.look.direction === 'right';
    const place = await this.plain(dotOf(level.links, sizes, number, this.look));
    const inner: Inner = { width: place.width + 2 * MARGIN, height: place.height + 2 * MARGIN, boxes: [], curves: [], hidden: level.hidden };
    for (const link of level.links) {
      const points = place.edges.get(edgeName(link, number));
      if (!points || link.from === link.to) continue;
      const shifted = points.map(p => ({ x: p.x + MARGIN, y: p.y + MARGIN }));
      if (isBack(link, number)) shifted.reverse();
      if (link.from === null) reach(shifted, 'start', 0, across);
      if (link.to === null) reach(shifted, 'end', across ? inner.width : inner.height, across);
      inner.curves.push({ from: link.from ?? block!, to: link.to ?? block!, link, points: shifted, depth, label: null, crowded: false });
    }
    // room for words beside the outermost edge
    if (this.look.shapes && !across)
      for (const { link, points } of inner.curves) inner.width = Math.max(inner.width, middle(points).x + LABEL_SHIFT + wordsWidth(link) + 4);
    level.nodes.forEach((node, i) => {
      const centre = place.nodes.get(`n${i}`)!;
      const { width, height } = sizes[i]!;
      const x = centre.x - width / 2 + MARGIN;
      const y = centre.y - height / 2 + MARGIN;
      inner.boxes.push({ node, x, y, width, height, open: open[i] !== null, depth });
      const within = open[i];
      if (!within) return;
      inner.hidden += within.hidden;
      const dx = x + (width - within.width) / 2;
      const dy = y + HEADER;
      for (const box of within.boxes) inner.boxes.push({ ...box, x: box.x + dx, y: box.y + dy });
      for (const curve of within.curves) {
        const points = curve.points.map(p => ({ x: p.x + dx, y: p.y + dy }));
        // a block may be wider than what is in it: what comes through its border comes from there
        if (across && curve.depth === depth + 1 && curve.link.from === null) points[0] = { ...points[0]!, x };
        if (across && curve.depth === depth + 1 && curve.link.to === null) points[points.length - 1] = { ...points.at(-1)!, x: x + width };
        inner.curves.push({ ...curve, points });
      }
    });
    if (block !== long.block || inner.height <= long.tallest) return inner;
    const columns = inColumns(inner, long.tallest - (inner.boxes[0]?.depth ?? 0) * 2 * HEADER, this.look.shapes ? wordsWidth : () => 0);
    long.broken ||= columns !== inner;
    return columns;
  }
}

/** Nodes up to which a graph is also laid out to the right, to see which way shows more. */
const FEW = 60;

/** Lays out graphs downwards, in columns or to the right: whichever shows most of them in the pane at hand. */
export class FittingLayout {
  private readonly down: Layout;
  private readonly right: Layout;

  constructor(engine: Engine, private readonly look: { direction: Look['direction'] | 'auto'; shapes: boolean }) {
    this.down = new Layout(engine, { direction: 'down', shapes: look.shapes });
    this.right = new Layout(engine, { direction: 'right', shapes: look.shapes });
  }

  get runs(): number {
    return this.down.runs + this.right.runs;
  }

  /** `keep`: the direction that the user is used to, because something is only opened or closed. */
  async scene(graph: Graph, opened: ReadonlySet<string>, pane: Pane, keep?: Look['direction']): Promise<Scene> {
    if (this.look.direction === 'right' || (keep === 'right' && this.look.direction === 'auto')) return this.right.scene(graph, opened);
    const plain = await this.down.scene(graph, opened);
    if (this.look.direction === 'down' || !pane.width || share(plain, pane) >= 1) return plain;
    const scenes = [plain];
    const columns = (scale: number) => this.down.scene(graph, opened, (pane.height - FRAME.y) / scale);
    const large = keep ? null : await columns(1);
    scenes.push(large && share(large, pane) >= 1 ? large : await columns(READABLE));
    if (!keep && graph.level(null).nodes.length <= FEW) scenes.push(await this.right.scene(graph, opened));
    return most(scenes, pane);
  }
}

/** Width of the words beside an edge. */
function wordsWidth(link: Link): number {
  return textWidth(flowText(link), 10.5, true);
}

interface Room {
  x: number;
  y: number;
  width: number;
  height: number;
}

function meet(a: Room, b: Room): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

/** Find a place for the words of every edge, where they cover neither cards nor other words. */
function placeWords(inner: Inner, look: Look): void {
  if (!look.shapes) return;
  // painted values stand above a card's upper edge
  const taken: Room[] = inner.boxes.map(box => ({ x: box.x, y: box.y - VALUE, width: box.width, height: (box.open ? HEADER - 4 : box.height) + VALUE }));
  for (const curve of inner.curves) {
    const width = wordsWidth(curve.link);
    if (!width) continue;
    const around = (t: number): Room[] => {
      const at = pointAt(curve.points, t);
      const room = { width, height: 13 };
      const [before, behind] = [pointAt(curve.points, Math.max(0, t - 0.03)), pointAt(curve.points, Math.min(1, t + 0.03))];
      const level = Math.abs(behind.x - before.x) > 3 * Math.abs(behind.y - before.y);
      return level || look.direction === 'right'
        ? [{ ...room, x: at.x - width / 2, y: at.y - 17 }, { ...room, x: at.x - width / 2, y: at.y + 4 }]
        : [{ ...room, x: at.x + LABEL_SHIFT, y: at.y - 7 }, { ...room, x: at.x - LABEL_SHIFT - width, y: at.y - 7 }];
    };
    const free = [...(curve.turns ? [0.86, 0.5] : []), 0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8].flatMap(around).find(room => room.x >= 0 && room.y >= 0 && taken.every(other => !meet(room, other)));
    const room = free ?? around(0.5)[0]!;
    if (free) taken.push(free);
    curve.crowded = !free;
    curve.label = { x: room.x, y: room.y + 11 };
  }
}

/** Lead a curve that comes through the border of its block straight from (or to) that border. */
function reach(points: Point[], which: 'start' | 'end', place: number, across: boolean): void {
  const inward = points.at(which === 'start' ? 0 : -1)!;
  const border = across ? { x: place, y: inward.y } : { x: inward.x, y: place };
  if (which === 'start') points.unshift(border, border, inward);
  else points.push(inward, border, border);
}

/** Recurrent edges lead backwards; they are laid out forwards so that they do not turn the graph round. */
function isBack(link: Link, number: Map<string | null, number>): boolean {
  return link.recurrent && link.from !== null && link.to !== null && number.get(link.from)! > number.get(link.to)!;
}

function endNames(link: Link, number: Map<string | null, number>): [string, string] {
  // the block's own border: one port on top for what comes in, one at the bottom for what goes out
  const from = link.from === null ? 'top' : `n${number.get(link.from)}`;
  const to = link.to === null ? 'bottom' : `n${number.get(link.to)}`;
  return isBack(link, number) ? [to, from] : [from, to];
}

function edgeName(link: Link, number: Map<string | null, number>): string {
  return endNames(link, number).join(' ') + (link.recurrent ? ' r' : '');
}

/** One level as DOT. Nodes are called by number: no word of a model gets into the text. */
export function dotOf(links: readonly Link[], sizes: readonly { width: number; height: number }[], number: Map<string | null, number>, look: Look = { direction: 'down', shapes: true }): string {
  const across = look.direction === 'right';
  // words stand above edges that lead to the right: they need room between the ranks
  const widest = across && look.shapes ? Math.min(180, Math.max(0, ...links.map(wordsWidth))) : 0;
  const ranks = Math.max(0.5, (widest + 24) / POINTS).toFixed(3);
  const out = [`digraph { graph [rankdir=${across ? 'LR' : 'TB'} nodesep=0.45 ranksep=${across ? ranks : 0.44}]; node [shape=box fixedsize=true]; edge [arrowhead=none];`];
  const inches = (n: number) => (n / POINTS).toFixed(3);
  sizes.forEach(({ width, height }, i) => {
    out.push(`n${i} [width=${inches(width)} height=${inches(height)}];`);
  });
  const port = across ? `[width=${inches(1)} height=${inches(PORT)}]` : `[width=${inches(PORT)} height=${inches(1)}]`;
  if (links.some(link => link.from === null)) out.push(`{ rank=source; top ${port}; }`);
  if (links.some(link => link.to === null)) out.push(`{ rank=sink; bottom ${port}; }`);
  for (const link of links) {
    if (link.from === link.to) continue;
    const [from, to] = endNames(link, number);
    const labelled = link.from === null || link.to === null ? ' [weight=0.5]' : '';
    out.push(`${from} -> ${to}${link.recurrent ? ' [weight=0]' : labelled};`);
  }
  out.push('}');
  return out.join('\n');
}

interface Plain {
  width: number;
  height: number;
  nodes: Map<string, Point>;
  edges: Map<string, Point[]>;
}

/** Graphviz' plain text in pixels, y downwards. */
export function parsePlain(text: string): Plain {
  const result: Plain = { width: 0, height: 0, nodes: new Map(), edges: new Map() };
  const down = (y: string) => result.height - Number(y) * POINTS;
  for (const line of text.split('\n')) {
    const words = line.split(' ');
    if (words[0] === 'graph') {
      result.width = Number(words[2]) * POINTS;
      result.height = Number(words[3]) * POINTS;
    } else if (words[0] === 'node') {
      result.nodes.set(words[1]!, { x: Number(words[2]) * POINTS, y: down(words[3]!) });
    } else if (words[0] === 'edge') {
      const points: Point[] = [];
      for (let i = 0; i < Number(words[3]); i++)
        points.push({ x: Number(words[4 + 2 * i]) * POINTS, y: down(words[5 + 2 * i]!) });
      const key = `${words[1]} ${words[2]}`;
      // of two edges between the same nodes the second is the recurrent one (links are sorted so)
      result.edges.set(result.edges.has(key) ? `${key} r` : key, points);
      if (!result.edges.has(`${key} r`)) result.edges.set(`${key} r`, points);
    }
  }
  return result;
}

/** The point in the middle of a spline. */
export function middle(points: readonly Point[]): Point {
  return pointAt(points, 0.5);
}

/** The point at a fraction of a spline's pieces. */
export function pointAt(points: readonly Point[], fraction: number): Point {
  const pieces = Math.floor((points.length - 1) / 3);
  if (pieces < 1) return points[0] ?? { x: 0, y: 0 };
  const t = pieces * fraction;
  const piece = Math.min(Math.floor(t), pieces - 1);
  const [a, b, c, d] = points.slice(piece * 3, piece * 3 + 4) as [Point, Point, Point, Point];
  const s = t - piece;
  const mix = (k: 'x' | 'y') => (1 - s) ** 3 * a[k] + 3 * (1 - s) ** 2 * s * b[k] + 3 * (1 - s) * s ** 2 * c[k] + s ** 3 * d[k];
  return { x: mix('x'), y: mix('y') };
}
