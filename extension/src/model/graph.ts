// A graph snapshot as a tree of blocks, and what is seen of it when some blocks are open. No DOM.

export type Kind =
  | 'function' | 'input' | 'parameter' | 'constant' | 'placeholder' | 'output' | 'block' | 'group' | 'repeat';

export interface GraphNode {
  id: string;
  op: string;
  name: string;
  kind: Kind;
  shape: number[];
  axes: string[];
  dtype: string;
  parent: string | null;
  attributes: Record<string, unknown>;
  source: string | null;
  parameters: number;
  host?: string;
  count?: number;
  problem?: string;
  change?: 'added' | 'removed' | 'changed';
  note?: string;
  /** One more line on its card. */
  extra?: string;
}

export interface GraphEdge {
  from: string;
  to: string;
  port: number;
  shape: number[];
  axes: string[];
  recurrent: boolean;
}

export interface Snapshot {
  format: 'cntk-lab-graph';
  version: 1;
  name: string;
  nodes: GraphNode[];
  edges: GraphEdge[];
  outputs: string[];
  /** What the manual says of operators and layers, by the word on the node. */
  docs?: Record<string, string>;
}

/** An edge between two things drawn in the same block; null stands for the block's own border. */
export interface Link {
  from: string | null;
  to: string | null;
  shape: number[];
  axes: string[];
  recurrent: boolean;
  /** The edges of the graph it stands for. */
  count: number;
}

/** What is drawn directly inside one block (or in the whole picture). */
export interface Level {
  nodes: GraphNode[];
  links: Link[];
  /** Children that are left out because there are too many. */
  hidden: number;
}

export const MOST_VISIBLE = 300;
/** More are refused: indexing them would hold the tab. */
export const MOST_NODES = 200_000;
export const MOST_EDGES = 1_000_000;
/** Characters of a name that are kept. */
export const LONGEST_NAME = 1000;
const KINDS = new Set<string>([
  'function', 'input', 'parameter', 'constant', 'placeholder', 'output', 'block', 'group', 'repeat'
]);

/** Raised in the user's words when data is no graph. */
export class NotAGraph extends Error {}

function fail(what: string): never {
  throw new NotAGraph(what);
}

/** Check what claims to be a snapshot; Python has cleaned it, but a file or a saved output may hold anything. */
export function readSnapshot(data: unknown): Snapshot {
  const graph = data as Partial<Snapshot> | null;
  if (typeof graph !== 'object' || graph === null || graph.format !== 'cntk-lab-graph' || graph.version !== 1)
    fail('This is no graph of format cntk-lab-graph, version 1.');
  if (!Array.isArray(graph.nodes) || !Array.isArray(graph.edges)) fail('The graph has no list of nodes or edges.');
  const many = (n: number) => n.toLocaleString('en');
  if (graph.nodes.length > MOST_NODES) fail(`The graph has ${many(graph.nodes.length)} nodes, more than a viewer takes (${many(MOST_NODES)}).`);
  if (graph.edges.length > MOST_EDGES) fail(`The graph has ${many(graph.edges.length)} edges, more than a viewer takes (${many(MOST_EDGES)}).`);
  const parent = new Map<string, string | null>();
  for (const node of graph.nodes) {
    if (typeof node?.id !== 'string' || !KINDS.has(node.kind)) fail('A node of the graph has no id or no known kind.');
    if (typeof node.op !== 'string' || typeof node.name !== 'string' || !isNumbers(node.shape) || !isTexts(node.axes))
      fail('A node of the graph lacks its operator, name, shape or axes.');
    if (parent.has(node.id)) fail('Two nodes of the graph have the same id.');
    parent.set(node.id, node.parent ?? null);
  }
  for (const edge of graph.edges)
    if (!parent.has(edge?.from) || !parent.has(edge.to) || !isNumbers(edge.shape) || !isTexts(edge.axes))
      fail('An edge of the graph leads to a node that does not exist.');
  const depth = new Map<string, number>();
  for (const start of parent.keys()) {
    const path: string[] = [];
    let at: string | null = start;
    while (at !== null && !depth.has(at)) {
      if (path.length > 120 || !parent.has(at)) fail('The blocks of the graph are nested in a circle or too deep.');
      path.push(at);
      at = parent.get(at) ?? null;
    }
    let base = at === null ? 0 : depth.get(at)!;
    while (path.length) depth.set(path.pop()!, ++base);
  }
  const nodes = graph.nodes.map(node => (node.name.length > LONGEST_NAME || node.op.length > LONGEST_NAME ? { ...node, name: cut(node.name), op: cut(node.op) } : node));
  const docs = Object.fromEntries(Object.entries(isTable(graph.docs) ? graph.docs : {}).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  return { ...graph, docs, name: cut(String(graph.name ?? '')), nodes } as Snapshot;
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function cut(text: string): string {
  return text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME - 1)}…` : text;
}

function isNumbers(value: unknown): boolean {
  return Array.isArray(value) && value.every(n => typeof n === 'number');
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every(n => typeof n === 'string');
}

/** The graph with everything indexed that views ask for. */
export class Graph {
  readonly node = new Map<string, GraphNode>();
  readonly outputs: Set<string>;
  /** Every dynamic axis, and every kind of difference, that occurs. */
  readonly axes: readonly string[];
  readonly changes: ReadonlySet<string>;
  private readonly inside = new Map<string | null, GraphNode[]>([[null, []]]);
  private readonly hosted = new Map<string, GraphNode[]>();
  private readonly levels = new Map<string | null, Level>();
  private readonly links = new Map<string | null, Map<string, Link>>();
  private readonly incoming = new Map<string, GraphEdge[]>();
  private readonly outgoing = new Map<string, GraphEdge[]>();
  private readonly loops = new Set<string>();
  private readonly differing = new Set<string>();

  /** `most`: nodes drawn at once; a block that would take the picture over it stays closed. */
  constructor(readonly snapshot: Snapshot, private readonly most = MOST_VISIBLE) {
    for (const node of snapshot.nodes) this.node.set(node.id, node);
    this.outputs = new Set(snapshot.outputs);
    this.axes = [...new Set(snapshot.nodes.flatMap(node => node.axes))];
    this.changes = new Set(snapshot.nodes.flatMap(node => node.change ?? []));
    for (const node of snapshot.nodes) {
      if (node.host !== undefined && this.node.has(node.host)) push(this.hosted, node.host, node);
      else push(this.inside, node.parent, node);
    }
    for (const node of snapshot.nodes) if (node.change) for (const uid of this.path(node.id)) this.differing.add(uid);
    for (const edge of snapshot.edges) {
      push(this.incoming, edge.to, edge);
      push(this.outgoing, edge.from, edge);
      const host = this.node.get(edge.from)!.host;
      if (host === undefined) this.lift(edge);
      else if (host !== edge.to && !this.hosted.get(edge.to)?.some(node => node.id === edge.from)) push(this.hosted, edge.to, this.node.get(edge.from)!); // shared
    }
  }

  get name(): string {
    return this.snapshot.name;
  }

  children(block: string | null): readonly GraphNode[] {
    return this.inside.get(block) ?? [];
  }

  parametersOn(uid: string): readonly GraphNode[] {
    return this.hosted.get(uid) ?? [];
  }

  isBlock(uid: string): boolean {
    return this.inside.has(uid);
  }

  /** Whether something inside a block (or a node itself) feeds a later step of itself. */
  loopsInside(uid: string): boolean {
    return this.loops.has(uid);
  }

  /** How a node differs from another model's: for a block (or the host of a parameter) "changed" if something in it does. */
  changeOf(uid: string): '' | 'added' | 'removed' | 'changed' {
    const own = this.node.get(uid)?.change;
    if (own === 'added' || own === 'removed' || own === 'changed') return own;
    return this.differing.has(uid) ? 'changed' : '';
  }

  inputsOf(uid: string): readonly GraphEdge[] {
    return this.incoming.get(uid) ?? [];
  }

  consumersOf(uid: string): readonly GraphEdge[] {
    return this.outgoing.get(uid) ?? [];
  }

  /** The blocks around a node from the outermost on, and the node itself; a parameter stands for its host. */
  path(uid: string): string[] {
    const path: string[] = [];
    let at: string | null = this.node.get(uid)?.host ?? uid;
    while (at !== null) {
      path.push(at);
      at = this.node.get(at)?.parent ?? null;
    }
    return path.reverse();
  }

  /** The node itself, or the outermost closed block around it. */
  shown(uid: string, opened: ReadonlySet<string>): string {
    const path = this.path(uid);
    return path.slice(0, -1).find(block => !opened.has(block)) ?? path.at(-1)!;
  }

  /** What is drawn directly inside a block. */
  level(block: string | null): Level {
    let level = this.levels.get(block);
    if (!level) {
      const all = this.children(block);
      const nodes = all.slice(0, this.most);
      const seen = new Set<string | null>([null, ...nodes.map(node => node.id)]);
      const links = [...(this.links.get(block)?.values() ?? [])].filter(
        link => seen.has(link.from) && seen.has(link.to)
      );
      level = { nodes, links, hidden: all.length - nodes.length };
      this.levels.set(block, level);
    }
    return level;
  }

  /** Open blocks of which all surroundings are open, latest wishes first, as many as fit into the largest number of nodes. */
  affordable(wanted: readonly string[]): Set<string> {
    const taken = new Set<string>();
    let total = Math.min(this.children(null).length, this.most);
    const take = (uid: string): boolean => {
      if (taken.has(uid)) return true;
      if (!this.isBlock(uid)) return false;
      const parent = this.node.get(uid)!.parent;
      if (parent !== null && !(wanted.includes(parent) && take(parent))) return false;
      const more = Math.min(this.children(uid).length, this.most);
      if (total + more > this.most) return false;
      total += more;
      taken.add(uid);
      return true;
    };
    for (const uid of [...wanted].reverse()) if (this.node.has(uid)) take(uid);
    return taken;
  }

  private lift(edge: GraphEdge): void {
    const source = this.path(edge.from);
    const target = this.path(edge.to);
    let common = 0;
    while (common < Math.min(source.length, target.length) && source[common] === target[common]) common++;
    if (edge.recurrent) for (const block of source.slice(0, common)) this.loops.add(block);
    if (common === source.length || common === target.length) return;
    this.link(common ? source[common - 1]! : null, source[common]!, target[common]!, edge);
    for (let i = common; i + 1 < source.length; i++) this.link(source[i]!, source[i + 1]!, null, edge);
    for (let i = common; i + 1 < target.length; i++) this.link(target[i]!, null, target[i + 1]!, edge);
  }

  private link(block: string | null, from: string | null, to: string | null, edge: GraphEdge): void {
    let links = this.links.get(block);
    if (!links) {
      links = new Map();
      this.links.set(block, links);
    }
    const recurrent = edge.recurrent && from !== null && to !== null;
    const key = JSON.stringify([from, to, recurrent]);
    const link = links.get(key);
    if (link) link.count++;
    else links.set(key, { from, to, shape: edge.shape, axes: edge.axes, recurrent, count: 1 });
  }
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Words
// ---------------------------------------------------------------------------------------------------------------------

const AXIS_NAMES: Record<string, string> = { '#': 'batch', '*': 'sequence' };

export function axisName(axis: string): string {
  return Object.hasOwn(AXIS_NAMES, axis) ? AXIS_NAMES[axis]! : axis;
}

/** A static shape in words: 3 × 28 × 28; inferred (-1) and free (-3) dimensions as ? and *. */
export function shapeText(shape: readonly number[]): string {
  if (shape.length === 1 && shape[0] === -2) return 'unknown';
  return shape.map(n => (n === -1 ? '?' : n === -3 ? '*' : String(n))).join(' × ') || 'scalar';
}

export function titleOf(node: GraphNode): string {
  const leaf = node.kind === 'input' || node.kind === 'parameter' || node.kind === 'constant' || node.kind === 'placeholder' || node.kind === 'output';
  if (leaf) return node.name || node.op || node.kind;
  const title = node.op || node.kind;
  return node.count === undefined ? title : `${title} ×${node.count}`;
}

/** The name of a node where it says more than its operator: not "conv12" on a Conv. */
export function subtitleOf(node: GraphNode): string {
  const title = titleOf(node);
  const counted = node.name.toLowerCase().startsWith(node.op.toLowerCase()) && /^[._]?\d*$/.test(node.name.slice(node.op.length));
  return node.name === title || (counted && node.op !== '') ? '' : node.name;
}

/** 1234 -> 1.2k, 157000 -> 157k; three digits at most. */
export function short(n: number): string {
  const size = Math.abs(n);
  for (const [limit, letter] of [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const)
    if (size >= limit) return `${trim(n / limit)}${letter}`;
  return trim(n);
}

function trim(n: number): string {
  if (n === 0) return '0';
  return Math.abs(n) < 1e-3 ? n.toExponential(1) : String(Number(n.toPrecision(3)));
}
