import assert from 'node:assert/strict';
import test from 'node:test';
import { Graph } from '../src/model/graph';
import { fraction, paint, parameterOverlay } from '../src/model/overlay';
import { blocks } from './samples';

const graph = new Graph(blocks());

test('a closed block puts the numbers of its nodes together', () => {
  const values = { a1: 1, a2: 3, y: 5 };
  const on = (together: 'sum' | 'mean' | 'max' | 'min') => paint(graph, { unit: '', together, values }, new Set()).values.get('A');
  assert.deepEqual([on('sum'), on('mean'), on('max'), on('min')], [4, 2, 3, 1]);
  const open = paint(graph, { unit: '', together: 'sum', values }, new Set(['A']));
  assert.deepEqual([...open.values], [['a1', 1], ['a2', 3], ['y', 5]]);
  assert.deepEqual([open.low, open.high], [1, 5]);
});

test('the first number that is not finite is named, and its block is an alarm', () => {
  const painted = paint(graph, { unit: '', together: 'sum', values: { a1: 1, a2: null, y: null } }, new Set());
  assert.equal(painted.broken, 'a2');
  assert.equal(painted.values.get('A'), null);
});

test('values of nodes that do not exist are left out', () => {
  assert.equal(paint(graph, { unit: '', together: 'sum', values: { nowhere: 1 } }, new Set()).values.size, 0);
});

test('colours spread over wide ranges', () => {
  assert.equal(fraction(5, 5, 5), 0.5);
  assert.equal(fraction(1, 0.9, 1.1).toFixed(2), '0.50');
  assert.equal(fraction(1, 0.001, 1000).toFixed(2), '0.50');
  assert.equal(fraction(0, -1, 1), 0.5);
});

test('every graph can show where its parameters are', () => {
  assert.deepEqual([...paint(graph, parameterOverlay(graph), new Set()).values], [['A', 6]]);
});
