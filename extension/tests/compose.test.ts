import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actOf, blames, openGroups, searchPalette, sibling, type PaletteEntry } from '../src/model/compose';
import { Graph, type Snapshot } from '../src/model/graph';

const entry = (path: string, category: string, summary = ''): PaletteEntry => ({ path, name: path.split('.').at(-1)!, category, summary });
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
  const wrong = [{ message: '', node: 'b', edge: ['a', 'b'], fix: '', start: 0, end: 0 }];
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
  assert.equal(actOf(press('a', { ctrlKey: true })), undefined);
  assert.equal(actOf(press('q')), undefined);
});
