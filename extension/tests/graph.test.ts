import assert from 'node:assert/strict';
import test from 'node:test';
import { Graph, LONGEST_NAME, MOST_NODES, MOST_VISIBLE, NotAGraph, readSnapshot, shapeText, short, titleOf } from '../src/model/graph';
import { blocks, edge, node, snapshot } from './samples';

test('a closed block takes the edges of its inside', () => {
  const graph = new Graph(blocks());
  const links = graph.level(null).links.map(({ from, to }) => [from, to]);
  assert.deepEqual(links, [['x', 'A'], ['A', 'y']]);
  assert.deepEqual(graph.level(null).nodes.map(n => n.id), ['x', 'A', 'y']);
});

test('inside an open block edges come through its border', () => {
  const links = new Graph(blocks()).level('A').links.map(({ from, to, recurrent }) => [from, to, recurrent]);
  assert.deepEqual(links, [[null, 'a1', false], ['a1', 'a2', false], ['a2', null, false], ['a2', 'a1', true]]);
});

test('a held parameter is drawn on its host and nowhere else', () => {
  const graph = new Graph(blocks());
  assert.deepEqual(graph.parametersOn('a1').map(n => n.id), ['W']);
  assert.deepEqual(graph.children('A').map(n => n.id), ['a1', 'a2']);
  assert.equal(graph.shown('W', new Set(['A'])), 'a1');
  assert.equal(graph.shown('W', new Set()), 'A');
});

test('a block with a recurrence inside says so', () => {
  const graph = new Graph(blocks());
  assert.equal(graph.loopsInside('A'), true);
  assert.equal(graph.loopsInside('x'), false);
});

test('never more than 300 nodes are open at once, and the last wish wins', () => {
  const nodes = [];
  for (const block of ['A', 'B', 'C']) {
    nodes.push(node(block, { kind: 'block' }));
    for (let i = 0; i < 140; i++) nodes.push(node(`${block}${i}`, { parent: block }));
  }
  const graph = new Graph(snapshot(nodes, []));
  assert.deepEqual([...graph.affordable(['A', 'B', 'C'])].sort(), ['B', 'C']);
});

test('a block inside a closed block does not open by itself', () => {
  const graph = new Graph(snapshot([node('A', { kind: 'block' }), node('B', { kind: 'block', parent: 'A' }), node('b', { parent: 'B' })], []));
  assert.deepEqual([...graph.affordable(['B'])], []);
  assert.deepEqual([...graph.affordable(['B', 'A'])].sort(), ['A', 'B']);
});

test('a flat graph of a hostile file shows 300 nodes and counts the rest', () => {
  const nodes = Array.from({ length: 1000 }, (_, i) => node(`n${i}`));
  const level = new Graph(snapshot(nodes, [edge('n0', 'n1'), edge('n0', 'n999')])).level(null);
  assert.equal(level.nodes.length, MOST_VISIBLE);
  assert.equal(level.hidden, 700);
  assert.deepEqual(level.links.map(l => l.to), ['n1']);
});

test('what is no graph is refused in words', () => {
  const wrong: [unknown, RegExp][] = [
    [null, /no graph of format/],
    [{ format: 'cntk-lab-graph', version: 2 }, /version 1/],
    [{ format: 'cntk-lab-graph', version: 1 }, /no list/],
    [snapshot([node('a'), node('a')], []), /same id/],
    [snapshot([node('a')], [edge('a', 'b')]), /does not exist/],
    [snapshot([node('a', { parent: 'b' }), node('b', { parent: 'a' })], []), /circle/],
    [snapshot([node('a', { parent: 'nowhere' })], []), /circle or too deep/],
    [snapshot([{ ...node('a'), shape: 'big' as unknown as number[] }], []), /shape/]
  ];
  for (const [data, words] of wrong) assert.throws(() => readSnapshot(data), (e: Error) => e instanceof NotAGraph && words.test(e.message));
});

test('names like those of Object do no harm', () => {
  const graph = new Graph(readSnapshot(snapshot([node('__proto__'), node('constructor', { axes: ['toString'] })], [edge('__proto__', 'constructor')])));
  assert.deepEqual(graph.level(null).links.map(l => [l.from, l.to]), [['__proto__', 'constructor']]);
});

test('a difference is seen on the node, its host and the blocks around it', () => {
  const sample = blocks();
  sample.nodes.find(n => n.id === 'W')!.change = 'changed';
  sample.nodes.find(n => n.id === 'y')!.change = 'added';
  const graph = new Graph(sample);
  assert.deepEqual(['x', 'A', 'a1', 'a2', 'y'].map(uid => graph.changeOf(uid)), ['', 'changed', 'changed', '', 'added']);
});

test('numbers and shapes are short', () => {
  assert.deepEqual([0, 12, 1234, 157_000, 2.5e6, 3e9, 0.00012].map(short), ['0', '12', '1.23k', '157k', '2.5M', '3G', '1.2e-4']);
  assert.equal(shapeText([3, -1, -3]), '3 × ? × *');
  assert.equal(titleOf(node('r', { kind: 'repeat', op: 'Dense', count: 12 })), 'Dense ×12');
});

test('20,000 nodes in blocks are indexed and opened at once', () => {
  const nodes = [];
  const edges = [];
  for (let b = 0; b < 200; b++) {
    nodes.push(node(`B${b}`, { kind: 'block' }));
    for (let i = 0; i < 100; i++) {
      nodes.push(node(`${b}-${i}`, { parent: `B${b}` }));
      if (b || i) edges.push(edge(i ? `${b}-${i - 1}` : `${b - 1}-99`, `${b}-${i}`));
    }
  }
  const start = performance.now();
  const graph = new Graph(readSnapshot(snapshot(nodes, edges)));
  assert.equal(graph.level(null).links.length, 199);
  assert.ok(performance.now() - start < 500, `took ${performance.now() - start} ms`);
});

test('a million nodes are refused at once, and names of any length are cut', () => {
  const nodes = new Array(1_000_000).fill(node('a'));
  const begun = performance.now();
  assert.throws(() => readSnapshot(snapshot(nodes, [])), (error: Error) => error instanceof NotAGraph && error.message.includes('1,000,000 nodes'));
  assert.ok(performance.now() - begun < 200);
  assert.ok(MOST_NODES >= 20_000);
  const long = readSnapshot(snapshot([node('a', { name: 'x'.repeat(10_000_000), op: '<b>'.repeat(9999) })], []));
  assert.deepEqual([long.nodes[0]!.name.length, long.nodes[0]!.op.length], [LONGEST_NAME, LONGEST_NAME]);
});

test('fewer nodes than usual can be asked for', () => {
  const graph = new Graph(blocks(), 3);
  assert.ok(graph.level(null).nodes.length <= 3);
  assert.deepEqual([...graph.affordable(['A'])], []);
});
