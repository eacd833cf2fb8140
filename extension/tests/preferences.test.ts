import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { DEFAULTS, LIMITS, onPreferences, preferences, readPreferences, setPreferences, WORDS } from '../src/model/preferences';

type Entry = { type: string; default?: unknown; minimum?: number; maximum?: number; oneOf?: { const: string }[]; properties?: Record<string, Entry> };
const schema = JSON.parse(readFileSync('schema/plugin.json', 'utf8')) as Entry;

test('the schema of JupyterLab and the defaults of the page are in step', () => {
  const defaults: Record<string, Record<string, unknown>> = {};
  for (const [group, { properties }] of Object.entries(schema.properties!)) {
    defaults[group] = {};
    for (const [name, entry] of Object.entries(properties!)) {
      defaults[group][name] = entry.default;
      const path = `${group}.${name}`;
      assert.deepEqual(entry.type === 'integer' || entry.type === 'number' ? [entry.minimum, entry.maximum] : undefined, LIMITS[path], path);
      assert.deepEqual(entry.oneOf?.map(option => option.const), WORDS[path], path);
    }
  }
  assert.deepEqual(defaults, DEFAULTS);
});

test('what is missing, of another kind or out of bounds is mended', () => {
  assert.deepEqual(readPreferences(null), DEFAULTS);
  assert.deepEqual(readPreferences({ graph: [], monitor: 3 }), DEFAULTS);
  const read = readPreferences({ graph: { maximumVisibleNodes: 1e9, direction: 'up', shapes: 'no', height: 250.4 }, monitor: { smoothing: -1, refreshRate: Number.NaN } });
  assert.deepEqual(read.graph, { ...DEFAULTS.graph, maximumVisibleNodes: 300, height: 250 });
  assert.deepEqual(read.monitor, { ...DEFAULTS.monitor, smoothing: 0 });
});

test('listeners hear of changes only, until they end', () => {
  const ending = new AbortController();
  let heard = 0;
  onPreferences(() => heard++, ending.signal);
  setPreferences({});
  assert.equal(heard, 0);
  setPreferences({ graph: { direction: 'right' } });
  assert.deepEqual([heard, preferences().graph.direction], [1, 'right']);
  ending.abort();
  setPreferences({});
  assert.deepEqual([heard, preferences().graph.direction], [1, 'auto']);
});
