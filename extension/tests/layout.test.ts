import assert from 'node:assert/strict';
import test from 'node:test';
import { Graph } from '../src/model/graph';
import { cardSize, dotOf, fitText, flowText, Layout, middle, parsePlain, textWidth, type Engine } from '../src/model/layout';
import { plain } from '../src/model/layoutWorker';
import { blocks, edge, node, snapshot } from './samples';

const graphviz: Engine = { plain };

function inside(outer: { x: number; y: number; width: number; height: number }, inner: typeof outer): boolean {
  return inner.x >= outer.x && inner.y >= outer.y && inner.x + inner.width <= outer.x + outer.width + 0.5 && inner.y + inner.height <= outer.y + outer.height + 0.5;
}

test('children lie inside their open block, and siblings do not overlap', async () => {
  const graph = new Graph(blocks());
  const { boxes } = await new Layout(graphviz).scene(graph, new Set(['A']));
  const box = (uid: string) => boxes.get(uid)!;
  assert.ok(inside(box('A'), box('a1')) && inside(box('A'), box('a2')));
  for (const [above, below] of [['x', 'A'], ['A', 'y'], ['a1', 'a2']] as const)
    assert.ok(box(above).y + box(above).height < box(below).y, `${above} lies above ${below}`);
});

test('a recurrent edge does not turn the graph round, and leads from its source to its target', async () => {
  const graph = new Graph(blocks());
  const { boxes, curves } = await new Layout(graphviz).scene(graph, new Set(['A']));
  const loop = curves.find(curve => curve.link.recurrent)!;
  assert.deepEqual([loop.from, loop.to], ['a2', 'a1']);
  assert.ok(loop.points[0]!.y > loop.points.at(-1)!.y, 'it leads upwards');
  assert.ok(boxes.get('a1')!.y < boxes.get('a2')!.y);
});

test('edges end at the borders of their nodes', async () => {
  const graph = new Graph(blocks());
  const { boxes, curves } = await new Layout(graphviz).scene(graph, new Set());
  for (const { from, to, points } of curves) {
    const [a, b] = [boxes.get(from)!, boxes.get(to)!];
    assert.ok(Math.abs(points[0]!.y - (a.y + a.height)) < 1.5);
    assert.ok(Math.abs(points.at(-1)!.y - b.y) < 1.5);
  }
});

test('what was laid out once is not laid out again', async () => {
  const graph = new Graph(blocks());
  const layout = new Layout(graphviz);
  await layout.scene(graph, new Set());
  await layout.scene(graph, new Set(['A']));
  assert.equal(layout.runs, 3);
  await layout.scene(graph, new Set());
  await layout.scene(graph, new Set(['A']));
  assert.equal(layout.runs, 3);
});

test('no word of a model gets into the DOT text', () => {
  const evil = '"]; evil [label=';
  const graph = new Graph(snapshot([node(evil, { op: evil }), node('b')], [edge(evil, 'b')]));
  const level = graph.level(null);
  const dot = dotOf(level.links, level.nodes.map(n => cardSize(graph, n)), new Map(level.nodes.map((n, i) => [n.id, i])));
  assert.ok(!dot.includes('evil'));
});

test('the same graph has the same layout', async () => {
  const scenes = await Promise.all([1, 2].map(() => new Layout(graphviz).scene(new Graph(blocks()), new Set(['A']))));
  assert.deepEqual(scenes[0], scenes[1]);
});

test('plain text is read with y downwards', () => {
  const place = parsePlain('graph 1 2 3\nnode n0 1 2.5 1 1 n0 solid box black lightgrey\nedge n0 n1 4 1 3 1 2 1 1 1 0 solid black\nstop\n');
  assert.deepEqual(place.nodes.get('n0'), { x: 72, y: 36 });
  assert.deepEqual(place.edges.get('n0 n1')!.at(-1), { x: 72, y: 216 });
  assert.deepEqual(middle([{ x: 0, y: 0 }, { x: 0, y: 0 }, { x: 2, y: 4 }, { x: 2, y: 4 }]), { x: 1, y: 2 });
});

test('text is cut to the room there is', () => {
  assert.equal(fitText('short', 11, 200), 'short');
  const cut = fitText('a very long name that does not fit', 11, 60);
  assert.ok(cut.endsWith('…') && textWidth(cut, 11) <= 60);
});

test('300 nodes are laid out in under a second', async () => {
  const nodes = Array.from({ length: 300 }, (_, i) => node(`n${i}`));
  const edges = nodes.slice(1).map((_, i) => edge(`n${i}`, `n${i + 1}`));
  const layout = new Layout(graphviz);
  await layout.scene(new Graph(blocks()), new Set());
  const start = performance.now();
  await layout.scene(new Graph(snapshot(nodes, edges)), new Set());
  assert.ok(performance.now() - start < 1000, `took ${performance.now() - start} ms`);
});

test('a graph that leads to the right lays siblings beside each other, and edges reach the borders of blocks', async () => {
  const graph = new Graph(blocks());
  const { boxes, curves, direction } = await new Layout(graphviz, { direction: 'right', shapes: true }).scene(graph, new Set(['A']));
  assert.equal(direction, 'right');
  const box = (uid: string) => boxes.get(uid)!;
  assert.ok(inside(box('A'), box('a1')) && inside(box('A'), box('a2')));
  for (const [left, right] of [['x', 'A'], ['A', 'y'], ['a1', 'a2']] as const)
    assert.ok(box(left).x + box(left).width < box(right).x, `${left} lies left of ${right}`);
  for (const { link, points, from, to } of curves) {
    if (link.from === null) assert.ok(Math.abs(points[0]!.x - box(from).x) < 1.5);
    if (link.to === null) assert.ok(Math.abs(points.at(-1)!.x - (box(to).x + box(to).width)) < 1.5);
  }
});

test('words of edges cover neither cards nor each other, or are kept for the selection', async () => {
  const many = Array.from({ length: 12 }, (_, i) => node(`n${i}`));
  const edges = many.flatMap((_, i) => (i ? [edge('hub', `n${i}`), edge(`n${i}`, 'end')] : []));
  const graph = new Graph(snapshot([node('hub'), ...many, node('end')], edges));
  for (const direction of ['down', 'right'] as const) {
    const { boxes, curves } = await new Layout(graphviz, { direction, shapes: true }).scene(graph, new Set());
    const shown = curves.filter(curve => curve.label && !curve.crowded).map(curve => ({ x: curve.label!.x, y: curve.label!.y - 11, width: textWidth(flowText(curve.link), 10.5, true), height: 13 }));
    assert.ok(shown.length > 3, `${shown.length} shown`);
    const rooms = [...shown, ...boxes.values()];
    for (const a of shown) for (const b of rooms) assert.ok(a === b || a.x >= b.x + b.width || b.x >= a.x + a.width || a.y >= b.y + b.height || b.y >= a.y + a.height);
  }
  const quiet = await new Layout(graphviz, { direction: 'down', shapes: false }).scene(graph, new Set());
  assert.ok(quiet.curves.every(curve => curve.label === null));
});
