import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bars, binWords, curvePoints, enlarged, heatColour, isGrid, lengthWords, pageWords, pixelWords, type Picture, rgba, shapeWords, short, type Content } from '../src/model/preview';

const blank: Picture = { width: 0, height: 0, channels: 1, pixels: new DataView(new ArrayBuffer(0)), black: 0, white: 255, exact: true, fullWidth: 0, fullHeight: 0, words: '' };
const bytes = (...values: number[]) => new DataView(new Uint8Array(values).buffer);

test('colours keep their order and grey has three equal ones', () => {
  const colour = rgba({ ...blank, width: 2, height: 1, channels: 3, pixels: bytes(1, 2, 3, 4, 5, 6) }, false);
  assert.deepEqual([...colour], [1, 2, 3, 255, 4, 5, 6, 255]);
  const grey = rgba({ ...blank, width: 1, height: 2, channels: 1, pixels: bytes(7, 9) }, false);
  assert.deepEqual([...grey], [7, 7, 7, 255, 9, 9, 9, 255]);
});

test('bytes may lie anywhere in their buffer', () => {
  const view = new DataView(new Uint8Array([99, 99, 5, 6]).buffer, 2, 2);
  assert.deepEqual([...rgba({ ...blank, width: 2, height: 1, channels: 1, pixels: view }, false)].slice(0, 4), [5, 5, 5, 255]);
});

test('the heat scale grows lighter with the value', () => {
  const light = [0, 0.25, 0.5, 0.75, 1].map(f => heatColour(f)).map(([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b);
  assert.deepEqual([...light].sort((a, b) => a - b), light);
  assert.deepEqual(heatColour(-1), heatColour(0));
  assert.deepEqual(heatColour(2), heatColour(1));
});

test('a curve fills its box and a level one stays inside', () => {
  assert.equal(curvePoints([0, 1, 0, 1], 0, 1, 10, 4), '2.5,4.0 2.5,0.0 7.5,4.0 7.5,0.0');
  assert.equal(curvePoints([3, 3], 3, 3, 10, 4), '5.0,4.0 5.0,4.0');
});

test('what occurs once among many is still seen', () => {
  assert.deepEqual(bars([1000, 1, 0]), [1, 0.02, 0]);
  assert.equal(binWords([1, 5, 9], 0, 1200), '1 to 4 samples: 1,200 sequences');
  assert.equal(binWords([1, 2], 0, 3), '1 samples: 3 sequences');
});

test('words for shapes, lengths and pages', () => {
  assert.equal(shapeWords([3, -3, 28]), '3 x * x 28');
  assert.equal(shapeWords([]), 'scalar');
  assert.equal(lengthWords(1, 1), '1 sample');
  assert.equal(lengthWords(2, 5), '2 to 5 samples');
  assert.equal(short(null), 'not finite');
  assert.equal(short(0.123456), '0.1235');
  const page = { sequences: 3, total: 1200, samples: 12, sweep: 0, leftOut: 1, endsSweep: true } as Content;
  assert.equal(pageWords(page), '3 of 1,200 sequences, 12 samples, sweep 1, 1 left out, the sweep ends here');
  assert.equal(pageWords({ ...page, total: null, sweep: null, leftOut: 0, endsSweep: false }), '3 sequences, 12 samples');
  assert.equal(pageWords({ ...page, sequences: 16, total: 3, leftOut: 0, endsSweep: false }), '16 sequences, of 3 that are read again and again, 12 samples, sweep 1');
  assert.equal(pageWords({ ...page, sequences: 0, leftOut: 0 }), 'there is no minibatch');
});

test('images with short labels stand side by side, sequences do not', () => {
  const stream = { name: '', shape: [], dtype: '', storage: '', shortest: 1, longest: 1, notFinite: 0 };
  assert.equal(isGrid([{ ...stream, form: 'image' }, { ...stream, form: 'tokens' }]), true);
  assert.equal(isGrid([{ ...stream, form: 'image' }, { ...stream, form: 'tokens', longest: 4 }]), false);
  assert.equal(isGrid([{ ...stream, form: 'tokens' }]), false);
});

test('the pixel under the pointer is told with its place in the data before thinning', () => {
  const picture = { ...blank, width: 2, height: 1, channels: 3, pixels: bytes(1, 2, 3, 4, 5, 255), fullWidth: 101, fullHeight: 50 };
  assert.equal(pixelWords(picture, 1, 0, false), 'row 0, column 100: 4, 5, 255');
  assert.equal(pixelWords({ ...picture, black: -1, white: 1, exact: false }, 1, 0, false), 'row 0, column 100: about -0.969, -0.961, 1');
});

test('small pictures are enlarged by their longer side', () => {
  assert.equal(enlarged({ ...blank, width: 10, height: 44 }, 88), 2);
  assert.equal(enlarged({ ...blank, width: 96, height: 10 }, 88), 1);
});
