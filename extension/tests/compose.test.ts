import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actOf, blames, costWords, distance, edgeOf, openGroups, searchPalette, sibling, within, type PaletteEntry } from '../src/model/compose';
import { Graph, type Snapshot } from '../src/model/graph';

const entry = (path: string, category: string, summary = ''): PaletteEntry => ({ path, name: path.split('.').at(-1)!, category, group: '', summary });
const PALETTE = [
  entry('layers.Dense', 'layers', 'A fully connected layer'),
  entry('layers.Dropout', 'layers'),
  entry('relu', 'operators', 'Rectified linear'),
  entry('param_relu', 'operators'),
  entry('sequence.last', 'sequences', 'The last frame')
];
const press = (key: string, more: object = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });
const node = (id: string, kind: string, parent: string | null) => ({
  id, op: id, name: '', kind, shape: [], axes: [], dtype: '', parent, attributes: {}, source: null, parameters: 0
});
const edge = (from: string, to: string) => ({ from, to, port: 0, shape: [], axes: [], recurrent: false });
const GRAPH = new Graph({
  format: 'cntk-lab-graph', version: 1, name: 'm', outputs: ['c'],
  nodes: [node('x', 'input', null), node('s', 'group', null), node('c', 'function', 's'), node('a', 'function', 's'), node('b', 'function', 's')],
  edges: [edge('x', 'a'), edge('a', 'b'), edge('b', 'c')]
} as Snapshot);
const SPANS = { x: [0, 5], s: [10, 90], a: [20, 30], b: [30, 40], c: [40, 50] };

test('the search puts beginnings of names before names before summaries', () => {
  assert.deepEqual(searchPalette(PALETTE, 'relu').map(e => e.path), ['relu', 'param_relu']);
  assert.deepEqual(searchPalette(PALETTE, 'd').map(e => e.path).slice(0, 2), ['layers.Dense', 'layers.Dropout']);
  assert.deepEqual(searchPalette(PALETTE, 'connected layer').map(e => e.path), ['layers.Dense']);
  assert.equal(searchPalette(PALETTE, '').length, PALETTE.length);
  assert.deepEqual(searchPalette(PALETTE, 'nothing at all'), []);
});

test('neighbours in a list are those of the code, not of the picture', () => {
  assert.equal(sibling(GRAPH, SPANS, 'a', 1), 'b');
  assert.equal(sibling(GRAPH, SPANS, 'b', 1), 'c');
  assert.equal(sibling(GRAPH, SPANS, 'a', -1), '');
  assert.equal(sibling(GRAPH, SPANS, 'gone', 1), '');
});

test('groups are open unless they were closed', () => {
  assert.deepEqual(openGroups(GRAPH, new Set()), ['s']);
  assert.deepEqual(openGroups(GRAPH, new Set(['s'])), []);
});

test('an edge to blame is marked where it comes in', () => {
  const wrong = [{ message: '', node: 'b', edge: ['a', 'b'], fix: '', removal: '', start: 0, end: 0 }];
  assert.ok(blames(GRAPH, wrong, 'a', 'b'));
  assert.ok(!blames(GRAPH, wrong, 'x', 'a'));
  assert.ok(!blames(GRAPH, [{ ...wrong[0]!, edge: [] }], 'a', 'b'));
});

test('keys are acts, and other keys are left alone', () => {
  assert.equal(actOf(press('a')), 'palette');
  assert.equal(actOf(press('Delete')), 'remove');
  assert.equal(actOf(press('z', { ctrlKey: true })), 'undo');
  assert.equal(actOf(press('Z', { ctrlKey: true, shiftKey: true })), 'redo');
  assert.equal(actOf(press('ArrowUp', { altKey: true })), 'up');
  assert.equal(actOf(press('ArrowUp')), undefined);
  assert.equal(actOf(press('a', { ctrlKey: true })), 'all');
  assert.equal(actOf(press('d', { ctrlKey: true })), 'duplicate');
  assert.equal(actOf(press('x')), 'delete');
  assert.equal(actOf(press('q', { ctrlKey: true })), undefined);
  assert.equal(actOf(press('q')), undefined);
});

test('what is dropped on a piece of an edge goes between the ends of the whole', () => {
  assert.deepEqual(edgeOf(GRAPH, 'a', 'b'), ['a', 'b']);
  assert.deepEqual(edgeOf(GRAPH, 'x', 's'), ['x', 'a']); // outside of the group
  assert.deepEqual(edgeOf(GRAPH, 's', 'a'), ['x', 'a']); // inside of it
  assert.equal(edgeOf(GRAPH, 'c', 'x'), undefined);
});

test('a frame takes the closed nodes that it touches', () => {
  const box = (id: string, x: number, open = false) => ({ id, x, y: 0, width: 10, height: 10, open });
  assert.deepEqual(within([box('a', 0), box('b', 20), box('group', 0, true)], { x: -5, y: -5, width: 12, height: 30 }), ['a']);
});

test('the distance to a line is that to its nearest point', () => {
  assert.equal(distance([{ x: 0, y: 0 }, { x: 10, y: 0 }], 5, 3), 3);
  assert.equal(distance([{ x: 0, y: 0 }, { x: 10, y: 0 }], 14, 3), 5);
});

test('costs are said in few words, and what is nothing is left out', () => {
  assert.equal(costWords({ parameters: 832, operations: 1_300_000, bytes: 9 }), '832 parameters · 1.3M FLOPs');
  assert.equal(costWords({ parameters: 0, operations: 12, bytes: 9 }), '');
  assert.equal(costWords(undefined), '');
});
