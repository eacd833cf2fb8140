import assert from 'node:assert/strict';
import test from 'node:test';
import { aligned, brief, bytes, clock, Series, smoothed, valueAt } from '../src/model/series';

const floats = (...values: number[]) => Float32Array.from(values);

test('pieces of a curve are put together, and a later one replaces what it covers', () => {
  const series = new Series();
  series.take(1, 0, floats(3, 2, 0.5, 0.25));
  series.take(1, 1, floats(1, 0, 0.75, 1));
  assert.deepEqual([[...series.loss], [...series.metric]], [[3, 1, 0], [0.5, 0.75, 1]]);
  assert.deepEqual(series.steps(3), [1, 2, 3]);
});

test('wider buckets replace the whole curve, and a cut makes it shorter', () => {
  const series = new Series();
  series.take(1, 0, floats(4, 2, 1, 0, 0, 0));
  series.take(2, 0, floats(3, 1, 0, 0));
  assert.deepEqual([series.width, [...series.loss]], [2, [3, 1]]);
  assert.deepEqual(series.steps(3), [1.5, 3]);
  series.take(2, 0, floats(3, 0));
  assert.deepEqual([...series.loss], [3]);
});

test('a piece whose beginning is missing is left out', () => {
  const series = new Series();
  series.take(1, 5, floats(1, 1));
  assert.deepEqual([series.loss.length, series.version], [0, 0]);
});

test('smoothing has no bias at the beginning and keeps gaps', () => {
  assert.deepEqual(smoothed([1, 2, 3], 0), [1, 2, 3]);
  const values = smoothed([4, NaN, 4, Infinity, 4], 0.9);
  assert.deepEqual(values.map(v => (v === null ? v : Number(v.toFixed(6)))), [4, null, 4, null, 4]);
  assert.equal(smoothed([0, 1], 0.5)[1]?.toFixed(4), '0.6667');
});

test('lines of different steps share one row', () => {
  const [x, a, b] = aligned([{ x: [1, 3], y: [10, null] }, { x: [2, 3], y: [20, 30] }]);
  assert.deepEqual(x, [1, 2, 3]);
  assert.deepEqual(a, [10, undefined, null]);
  assert.deepEqual(b, [undefined, 20, 30]);
});

test('a value is read at a step or just before it', () => {
  const line = { x: [1, 3, 5], y: [10, null, 50] };
  assert.deepEqual([0, 1, 2, 4, 9].map(x => valueAt(line, x)), [null, 10, 10, 10, 50]);
});

test('numbers, times and sizes are short', () => {
  assert.deepEqual([1234.5678, 0.00001234, 0, -2.5, null, NaN, 12345678].map(v => brief(v)), ['1235', '1.23e-5', '0', '-2.5', '–', 'NaN', '1.23e7']);
  assert.deepEqual([6.6, 750, 11045].map(clock), ['0:07', '12:30', '3:04:05']);
  assert.deepEqual([0, 1023, 1024, 72 * 2 ** 20].map(bytes), ['0 B', '1020 B', '1 KiB', '72 MiB']);
});
