// Values painted on nodes: a number per node, put together for closed blocks, and where it lies between the extremes. No DOM.
import type { Graph } from './graph';
import type { Overlay } from '../protocol/state';

export type { Overlay } from '../protocol/state';

export interface Painted {
  /** uid of a shown node -> its number; null: something in it is not finite. */
  values: Map<string, number | null>;
  low: number;
  high: number;
  /** The first node, in the graph's order, whose value is not finite. */
  broken: string | null;
}

/** What each shown node shows. */
export function paint(graph: Graph, overlay: Overlay, opened: ReadonlySet<string>): Painted {
  const parts = new Map<string, (number | null)[]>();
  let broken: string | null = null;
  for (const node of graph.snapshot.nodes) {
    if (!Object.hasOwn(overlay.values, node.id)) continue;
    const value = overlay.values[node.id] ?? null;
    if (value === null) broken ??= node.id;
    const shown = graph.shown(node.id, opened);
    const list = parts.get(shown);
    if (list) list.push(value);
    else parts.set(shown, [value]);
  }
  const values = new Map<string, number | null>();
  for (const [uid, list] of parts) values.set(uid, list.includes(null) ? null : join(list as number[], overlay.together));
  const finite = [...values.values()].filter(value => value !== null);
  return { values, low: Math.min(...finite, Infinity), high: Math.max(...finite, -Infinity), broken };
}

function join(list: readonly number[], together: Overlay['together']): number {
  if (together === 'max') return Math.max(...list);
  if (together === 'min') return Math.min(...list);
  const sum = list.reduce((a, b) => a + b, 0);
  return together === 'mean' ? sum / list.length : sum;
}

/** Where a value lies between the extremes, from 0 to 1; on a logarithmic scale when they are far apart. */
export function fraction(value: number, low: number, high: number): number {
  if (!(high > low)) return 0.5;
  if (low > 0 && high / low > 100) return Math.log(value / low) / Math.log(high / low);
  if (low >= 0 && high > 0 && low / high < 1e-2) return Math.sqrt((value - low) / (high - low));
  return (value - low) / (high - low);
}

/** The overlay every graph has: how many parameters lie where. */
export function parameterOverlay(graph: Graph): Overlay {
  const values: Overlay['values'] = {};
  for (const node of graph.snapshot.nodes)
    if (node.parameters && !graph.isBlock(node.id) && node.host === undefined) values[node.id] = node.parameters;
  return { unit: '', together: 'sum', values };
}
