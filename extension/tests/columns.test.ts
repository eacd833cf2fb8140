import assert from 'node:assert/strict';
import test from 'node:test';
import { firstScale, READABLE, share } from '../src/model/columns';
import { Graph, type GraphEdge, type GraphNode } from '../src/model/graph';
import { FittingLayout, Layout, type Engine, type Scene } from '../src/model/layout';
import { plain } from '../src/model/layoutWorker';
import { edge, node, snapshot } from './samples';

const graphviz: Engine = { plain };

/** x -> n0 -> n1 …; with shortcuts every third node is also read by the one two behind it. */
function chain(count: number, shortcuts: boolean): Graph {
  const nodes: GraphNode[] = [node('x', { kind: 'input' })];
  const edges: GraphEdge[] = [];
  for (let i = 0; i < count; i++) {
    nodes.push(node(`n${i}`));
    edges.push(edge(i ? `n${i - 1}` : 'x', `n${i}`));
    if (shortcuts && i % 3 === 2) edges.push(edge(`n${i - 2}`, `n${i}`, { port: 1 }));
  }
  return new Graph(snapshot(nodes, edges));
}

function whole(scene: Scene): void {
  const boxes = [...scene.boxes.values()];
  for (const [i, a] of boxes.entries()) {
    assert.ok(a.x >= 0 && a.y >= 0 && a.x + a.width <= scene.width + 1 && a.y + a.height <= scene.height + 1, `${a.node.id} lies inside`);
    for (const b of boxes.slice(i + 1))
      assert.ok(a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y, `${a.node.id} and ${b.node.id} do not meet`);
  }
  for (const { from, to, points } of scene.curves) {
    const [start, end] = [scene.boxes.get(from)!, scene.boxes.get(to)!];
    assert.ok(Math.abs(points[0]!.y - (start.y + start.height)) < 2, `an edge leaves ${from} at its lower border`);
    assert.ok(Math.abs(points.at(-1)!.y - end.y) < 2, `an edge reaches ${to} at its upper border`);
    assert.equal(points.length % 3, 1);
  }
}

for (const shortcuts of [false, true])
  test(`a long picture is read in columns${shortcuts ? ', also where a value leads past others' : ''}`, async () => {
    const graph = chain(30, shortcuts);
    const long = await new Layout(graphviz).scene(graph, new Set());
    const scene = await new Layout(graphviz).scene(graph, new Set(), 500);
    assert.equal(scene.columns, true);
    assert.ok(scene.height <= 500 && long.height > 1500);
    assert.equal(scene.boxes.size, 31);
    assert.equal(scene.curves.length, long.curves.length);
    whole(scene);
  });

/** Two chains that cross at every node. */
function ladder(): Graph {
  return new Graph(snapshot(
    [node('x', { kind: 'input' }), node('y', { kind: 'input' }), ...Array.from({ length: 20 }, (_, i) => node(`n${i}`))],
    Array.from({ length: 20 }, (_, i) => edge(i < 2 ? 'xy'[i]! : `n${i - 2}`, `n${i}`))
  ));
}

test('a picture that no single value passes is left as it is', async () => {
  assert.equal((await new Layout(graphviz).scene(ladder(), new Set(), 300)).columns, false);
});

test('the way that shows most is taken, and what is wished for stays', async () => {
  const graph = chain(12, false);
  const layout = (direction: 'auto' | 'down' | 'right') => new FittingLayout(graphviz, { direction, shapes: true });
  assert.equal((await layout('auto').scene(graph, new Set(), { width: 900, height: 420 })).columns, true);
  assert.equal((await layout('auto').scene(ladder(), new Set(), { width: 1600, height: 200 })).direction, 'right');
  assert.equal((await layout('auto').scene(graph, new Set(), { width: 300, height: 2000 })).columns, false);
  assert.equal((await layout('auto').scene(ladder(), new Set(), { width: 1600, height: 200 }, 'down')).direction, 'down', 'opening a block turns nothing round');
  assert.equal((await layout('down').scene(graph, new Set(), { width: 900, height: 420 })).columns, false);
  assert.equal((await layout('right').scene(graph, new Set(), { width: 900, height: 420 })).direction, 'right');
});

test('nothing is shown smaller than can be read at first, and small pictures are not blown up', () => {
  const pane = { width: 600, height: 400 };
  assert.equal(firstScale({ width: 100, height: 9000 }, pane), READABLE);
  assert.equal(firstScale({ width: 50, height: 50 }, pane), 1.25);
  assert.equal(share({ width: 100, height: 100 }, pane), 1);
  assert.ok(READABLE * 10.5 >= 9);
});
