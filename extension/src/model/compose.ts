// What the composer's view knows without a document: the palette's search, neighbours in a list, keys and what they do.
import { short, type Graph } from './graph';
import type { PaletteEntry, Cost, Problem } from '../protocol/state';

export type { PaletteEntry, Template, Cost, Problem, FormField, Form } from '../protocol/state';

/** The entries that a search finds: beginnings of names first, then names, then summaries. */
export function searchPalette(entries: readonly PaletteEntry[], text: string): PaletteEntry[] {
  const words = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [...entries];
  const rank = (entry: PaletteEntry): number => {
    const name = entry.name.toLowerCase();
    const rest = `${entry.path} ${entry.category} ${entry.summary}`.toLowerCase();
    let worst = 0;
    for (const word of words) {
      const at = name === word ? 0 : name.startsWith(word) ? 1 : name.includes(word) ? 2 : rest.includes(word) ? 3 : 9;
      worst = Math.max(worst, at);
    }
    return worst;
  };
  return entries
    .map((entry, i) => ({ entry, i, rank: rank(entry) }))
    .filter(found => found.rank < 9)
    // what is equally near is in the palette's order: layers before operators
    .sort((a, b) => a.rank - b.rank || a.i - b.i)
    .map(found => found.entry);
}

/** The layer before or behind another in the same group, in the order of the code. */
export function sibling(graph: Graph, spans: Readonly<Record<string, number[]>>, uid: string, step: 1 | -1): string {
  const node = graph.node.get(uid);
  if (!node) return '';
  const all = graph
    .children(node.parent)
    .filter(other => spans[other.id])
    .sort((a, b) => spans[a.id]![0]! - spans[b.id]![0]!);
  return all[all.findIndex(other => other.id === uid) + step]?.id ?? '';
}

/** Groups are open at first: what is composed is to be seen. */
export function openGroups(graph: Graph, closed: ReadonlySet<string>): string[] {
  return [...graph.node.values()]
    .filter(node => (node.kind === 'group' || node.kind === 'block') && graph.isBlock(node.id) && !closed.has(node.id))
    .map(node => node.id);
}

/** Whether the edge between two drawn nodes is (part of) the one to blame. */
export function blames(graph: Graph, problems: readonly Problem[], from: string, to: string): boolean {
  return problems.some(({ edge }) => {
    const [source, target] = edge;
    if (source === undefined || target === undefined || !graph.node.has(source) || !graph.node.has(target)) return false;
    // an edge that comes into a group has a piece outside and one inside
    return (from === source || graph.path(source).includes(from) || graph.path(target).includes(from)) && to === target;
  });
}

export type Act =
  | 'palette' | 'remove' | 'undo' | 'redo' | 'copy' | 'paste' | 'up' | 'down' | 'group' | 'ungroup' | 'repeat' | 'shortcut'
  | 'fix' | 'delete' | 'form' | 'code' | 'connect' | 'next' | 'help' | 'branch' | 'duplicate' | 'all' | 'menu';

export interface KeyPress {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  shiftKey: boolean;
}

/** What a key does on the canvas. */
export function actOf(event: KeyPress): Act | undefined {
  if (event.ctrlKey || event.metaKey) {
    const key = event.key.toLowerCase();
    if (key === 'z') return event.shiftKey ? 'redo' : 'undo';
    return ({ y: 'redo', c: 'copy', v: 'paste', d: 'duplicate', a: 'all' } as const)[key as 'y' | 'c' | 'v' | 'd' | 'a'];
  }
  if (event.altKey) return ({ ArrowUp: 'up', ArrowDown: 'down' } as const)[event.key as 'ArrowUp' | 'ArrowDown'];
  return KEYS[event.key];
}

const KEYS: Readonly<Record<string, Act | undefined>> = {
  a: 'palette', b: 'branch', Delete: 'remove', Backspace: 'remove', g: 'group', u: 'ungroup', r: 'repeat', s: 'shortcut', f: 'fix', x: 'delete',
  e: 'form', k: 'code', c: 'connect', n: 'next', '?': 'help'
};

export const HELP: readonly (readonly [string, string])[] = [
  ['arrow keys', 'go to another node'],
  ['a', 'add behind the selected node'],
  ['b', 'add a branch that reads the selected value'],
  ['e', 'edit its parameters'],
  ['k', 'edit the code'],
  ['Delete', 'take it away'],
  ['c', 'connect: c on the value, then c (or 1, 2, … for the operand) on its reader'],
  ['Alt+↑ ↓', 'move it within its list'],
  ['g, r, s, u', 'group, repeat, shortcut, ungroup'],
  ['Ctrl+C, Ctrl+V', 'copy, paste behind the selected node'],
  ['Ctrl+Z, Ctrl+Y', 'undo, redo'],
  ['Ctrl+D, Ctrl+A', 'duplicate, select all (Shift+click adds to the selection)'],
  ['n, f', 'go to the next problem, apply its fix (nothing is lost)'],
  ['x', 'repair by deleting what is named']
];

/** What something costs, in one line; what is nothing is left out. */
export function costWords(cost: Cost | undefined): string {
  if (!cost) return '';
  const parts: string[] = [];
  if (cost.parameters) parts.push(`${cost.parameters < 10_000 ? cost.parameters.toLocaleString('en') : short(cost.parameters)} parameters`);
  if (cost.operations >= 1000) parts.push(`${short(cost.operations)} FLOPs`);
  return parts.join(' · ');
}

/** The signs of the palette and of the canvas, by group. */
export const SIGNS: Readonly<Record<string, string>> = {
  dense: '≡', convolution: '▦', pooling: '▽', normalization: 'σ', regularization: '⁘', recurrent: '↻', attention: '◎',
  activation: '∿', loss: '⊖', input: '→', group: '❏', sequence: '⋯', operator: 'ƒ'
};

/** The nodes that a frame on the picture touches. */
export function within(boxes: Iterable<{ id: string; x: number; y: number; width: number; height: number; open: boolean }>, frame: { x: number; y: number; width: number; height: number }): string[] {
  return [...boxes]
    .filter(box => !box.open && box.x < frame.x + frame.width && box.x + box.width > frame.x && box.y < frame.y + frame.height && box.y + box.height > frame.y)
    .map(box => box.id);
}

/** The edge of the graph that a piece of a curve belongs to: what is put on it goes between its ends. */
export function edgeOf(graph: Graph, from: string, to: string): [string, string] | undefined {
  const touches = (end: string, uid: string) => end === uid || graph.path(end).includes(uid);
  const found = graph.snapshot.edges.find(edge => touches(edge.to, to) && (touches(edge.from, from) || graph.path(edge.to).includes(from)));
  return found && [found.from, found.to];
}

/** How far a point is from a chain of points. */
export function distance(points: readonly { x: number; y: number }[], x: number, y: number): number {
  let least = Infinity;
  for (let i = 0; i + 1 < points.length; i++) {
    const [a, b] = [points[i]!, points[i + 1]!];
    const [dx, dy] = [b.x - a.x, b.y - a.y];
    const length = dx * dx + dy * dy;
    const t = length ? Math.max(0, Math.min(1, ((x - a.x) * dx + (y - a.y) * dy) / length)) : 0;
    least = Math.min(least, Math.hypot(x - a.x - t * dx, y - a.y - t * dy));
  }
  return least;
}
