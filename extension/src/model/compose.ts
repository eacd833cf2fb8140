// What the composer's view knows without a document: the palette's search, neighbours in a list, keys and what they do.
import type { Graph } from './graph';

export interface PaletteEntry {
  path: string;
  name: string;
  category: string;
  summary: string;
}

export interface Problem {
  message: string;
  node: string;
  edge: string[];
  fix: string;
  start: number;
  end: number;
}

export interface FormField {
  name: string;
  value: string;
  default: string;
  required: boolean;
}

export interface Form {
  node: string;
  title: string;
  name: string;
  summary: string;
  variable: string;
  fields: FormField[];
}

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
  | 'fix' | 'form' | 'code' | 'connect' | 'next' | 'help' | 'branch';

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
    return ({ y: 'redo', c: 'copy', v: 'paste' } as const)[key as 'y' | 'c' | 'v'];
  }
  if (event.altKey) return ({ ArrowUp: 'up', ArrowDown: 'down' } as const)[event.key as 'ArrowUp' | 'ArrowDown'];
  return KEYS[event.key];
}

const KEYS: Readonly<Record<string, Act | undefined>> = {
  a: 'palette', b: 'branch', Delete: 'remove', Backspace: 'remove', g: 'group', u: 'ungroup', r: 'repeat', s: 'shortcut', f: 'fix',
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
  ['n, f', 'go to the next problem, apply its fix']
];
