import assert from 'node:assert/strict';
import test from 'node:test';
import { ask, callFor, readInventory, readRuns } from '../src/model/inventory';

test('models and runs are read, and what is none is left out', () => {
  const read = readInventory({
    models: [{ number: 3, names: ['z', 5], name: '<b>', kind: 'Dense', parameters: 12, shape: '3', axes: ['batch'] }, null, { number: 'x' }],
    runs: [{ number: 1, name: 'a', status: 'running', step: 7, loss: Number.NaN, metric: 0.5, progress: null }],
    more: -1
  });
  assert.deepEqual(read.models, [{ number: 3, names: ['z', ''], name: '<b>', kind: 'Dense', parameters: 12, shape: '3', axes: ['batch'] }]);
  assert.deepEqual(read.runs, [{ number: 1, name: 'a', status: 'running', step: 7, loss: null, metric: 0.5, progress: null }]);
  assert.equal(read.more, 0);
  assert.deepEqual(readInventory(undefined), { models: [], runs: [], more: 0 });
  assert.deepEqual(readRuns('x'), []);
});

test('long lists and names are cut', () => {
  const model = { number: 1, names: ['x'.repeat(1e6)], name: '', kind: '', parameters: 0, shape: '', axes: [] };
  const read = readInventory({ models: Array.from({ length: 10_000 }, () => model), runs: [] });
  assert.ok(read.models.length <= 400 && read.models[0]!.names[0]!.length <= 200);
});

test('only numbers get into the code that the kernel runs', () => {
  assert.ok(callFor('show_model', 7).endsWith('.show_model(7)'));
  assert.throws(() => callFor('show_run', '1); evil(' as unknown as number));
  assert.throws(() => callFor('show_run', 1.5));
});

test('nothing is imported behind the user\'s back', () => {
  assert.match(ask(true), /if 'cntk_lab' in .*modules else None/);
});
