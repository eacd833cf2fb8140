import assert from 'node:assert/strict';
import test from 'node:test';
import { costs, layerFacts, operations } from '../src/model/facts';
import { Graph } from '../src/model/graph';
import { blocks, edge, node, snapshot } from './samples';

function convolution(more: Record<string, unknown> = {}): Graph {
  const attributes = { strides: [2, 2], auto_padding: [false, true, true], dilation: [1, 1], groups: 1, ...more };
  return new Graph(snapshot(
    [
      node('x', { kind: 'input', shape: [3, 8, 8] }),
      node('C', { kind: 'block', op: 'Convolution', shape: [16, 4, 4], parameters: 432 }),
      node('c', { op: 'Convolution', shape: [16, 4, 4], parent: 'C', attributes, parameters: 432 }),
      node('W', { kind: 'parameter', op: 'Parameter', shape: [16, 3, 3, 3], parent: 'C', host: 'c', parameters: 432 }),
      node('r', { op: 'ReLU', shape: [16, 4, 4], parent: 'C' })
    ],
    [edge('x', 'c', { shape: [3, 8, 8] }), edge('W', 'c'), edge('c', 'r')]
  ));
}

test('a convolution says its kernel, stride, padding, activation and what it costs', () => {
  const graph = convolution();
  assert.deepEqual(layerFacts(graph, graph.node.get('C')!), [
    ['kernel', '3 × 3'], ['filters', '16'], ['stride', '2'], ['pad', 'same size'], ['activation', 'ReLU'],
    ['FLOPs', '14.1 k a sample'], // 2 x 3 x 9 x 16 x 16 and 256 for the activation
    ['memory', '1.73 kB of weights'], ['', '2.05 kB of values a sample']
  ]);
  assert.equal(operations(graph, graph.node.get('c')!), 2 * 27 * 256);
});

test('what differs from the usual is said, what does not is not', () => {
  const graph = convolution({ auto_padding: [], pads: [1, 1, 1, 1], dilation: [2, 2], groups: 4 });
  const facts = new Map(layerFacts(graph, graph.node.get('C')!));
  assert.deepEqual([facts.get('pad'), facts.get('dilation'), facts.get('groups')], ['by 1', '2', '4']);
});

test('a dense layer says how many numbers become how many; shared weights are counted once', () => {
  const graph = new Graph(blocks());
  const facts = new Map(layerFacts(graph, graph.node.get('A')!));
  assert.equal(facts.get('maps'), '3 to 2');
  assert.equal(facts.get('activation'), 'ReLU');
  assert.deepEqual(costs(graph, null)[0], ['FLOPs', '16 a sample']); // 12 in the product, 2 and 2 behind it
});
