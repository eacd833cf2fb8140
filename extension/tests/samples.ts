// Small graphs for the tests.
import type { GraphEdge, GraphNode, Snapshot } from '../src/model/graph';

export function node(id: string, more: Partial<GraphNode> = {}): GraphNode {
  return { id, op: 'Plus', name: id, kind: 'function', shape: [2], axes: ['#'], dtype: 'float32', parent: null, attributes: {}, source: null, parameters: 0, ...more };
}

export function edge(from: string, to: string, more: Partial<GraphEdge> = {}): GraphEdge {
  return { from, to, port: 0, shape: [2], axes: ['#'], recurrent: false, ...more };
}

export function snapshot(nodes: GraphNode[], edges: GraphEdge[]): Snapshot {
  return { format: 'cntk-lab-graph', version: 1, name: 'sample', nodes, edges, outputs: [] };
}

/** x -> block A { a1 -> a2 } -> y, and W held by a1; a2 feeds a1's next step. */
export function blocks(): Snapshot {
  return snapshot(
    [
      node('x', { kind: 'input', op: 'Input' }),
      node('A', { kind: 'block', op: 'Dense', parameters: 6 }),
      node('W', { kind: 'parameter', op: 'Parameter', parent: 'A', host: 'a1', parameters: 6, shape: [3, 2] }),
      node('a1', { op: 'Times', parent: 'A', attributes: { output_rank: 1 }, parameters: 6 }),
      node('a2', { op: 'ReLU', parent: 'A' }),
      node('y', { op: 'Softmax' })
    ],
    [edge('x', 'a1', { shape: [3] }), edge('W', 'a1'), edge('a1', 'a2'), edge('a2', 'y'), edge('a2', 'a1', { recurrent: true })]
  );
}
