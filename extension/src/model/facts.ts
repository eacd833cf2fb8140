// What a person asks of a layer: kernel, stride, padding, activation, what it costs. Worked out from the nodes inside. No DOM.
import type { Graph, GraphNode } from './graph';
import { shapeText, short } from './graph';

export type Fact = readonly [string, string];

const CONVOLUTIONS = new Set(['Convolution', 'Conv', 'ConvolutionTranspose', 'ConvTranspose']);
const POOLINGS = new Set(['Pooling', 'MaxPool', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool']);
const PRODUCTS = new Set(['Times', 'TransposeTimes', 'MatMul', 'Gemm']);
const NORMALIZATIONS = new Set(['BatchNormalization', 'LayerNormalization']);
const ACTIVATIONS = new Set([
  'ReLU', 'Relu', 'Tanh', 'Sigmoid', 'StableSigmoid', 'ELU', 'Elu', 'LeakyReLU', 'LeakyRelu', 'SELU', 'Selu', 'PReLU', 'Softplus', 'SoftPlus', 'Softmax', 'LogSoftmax', 'Gelu', 'HardSigmoid'
]);
/** Operators that only hand values on. */
const FREE = new Set(['NoOp', 'Reshape', 'Combine', 'StopGradient', 'Identity', 'Flatten', 'Squeeze', 'Unsqueeze', 'ExpandDims']);
const BYTES: Record<string, number> = { float16: 2, float64: 8, int64: 8, int32: 4, int16: 2, int8: 1, uint8: 1, bool: 1 };

/** 1.2 M */
function spaced(n: number): string {
  return short(n).replace(/(?<=\d)(?=[kMG]?$)/, ' ');
}

/** Elements of a shape; dimensions that are open count once. */
function size(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * Math.max(1, b), 1);
}

/** The operators inside a node, or it itself. */
export function leavesOf(graph: Graph, uid: string): GraphNode[] {
  const found: GraphNode[] = [];
  const walk = (id: string) => {
    const node = graph.node.get(id);
    if (!node) return;
    if (graph.isBlock(id)) for (const child of graph.children(id)) walk(child.id);
    else if (node.kind === 'function' || node.kind === 'block') found.push(node);
  };
  walk(uid);
  return found;
}

function weightsOf(graph: Graph, node: GraphNode): GraphNode | undefined {
  return graph.parametersOn(node.id).find(held => held.kind === 'parameter' && held.shape.length > 1);
}

/** Multiplications and additions of one operator for one sample (of a sequence: for one frame). */
export function operations(graph: Graph, node: GraphNode): number {
  const out = size(node.shape);
  const weights = weightsOf(graph, node);
  const given = graph.inputsOf(node.id).find(edge => graph.node.get(edge.from)?.host === undefined);
  if (CONVOLUTIONS.has(node.op) && weights) {
    const [first = 1] = weights.shape;
    if (!node.op.endsWith('Transpose')) return 2 * (size(weights.shape) / Math.max(1, first)) * out;
    return 2 * size(weights.shape) * (size(given?.shape ?? []) / Math.max(1, given?.shape[0] ?? 1));
  }
  if (PRODUCTS.has(node.op)) {
    const rank = typeof node.attributes.output_rank === 'number' ? node.attributes.output_rank : 1;
    const inner = weights ? size(weights.shape) / size(node.shape.slice(-rank)) : Math.max(1, given?.shape.at(-1) ?? 1);
    return 2 * Math.max(1, inner) * out;
  }
  if (POOLINGS.has(node.op)) return out * size(numbers(node.attributes.pooling_window_shape ?? node.attributes.kernel_shape) ?? given?.shape.slice(1) ?? []);
  if (NORMALIZATIONS.has(node.op)) return 2 * out;
  return FREE.has(node.op) || node.op.startsWith('Sequence::BroadcastAs') ? 0 : out;
}

function numbers(value: unknown): number[] | null {
  return Array.isArray(value) && value.length > 0 && value.every(n => typeof n === 'number') ? value : null;
}

/** 3 × 3, but 2 for 2 × 2 where it says how far. */
function each(value: unknown): string {
  const list = numbers(value);
  if (!list) return '';
  return list.every(n => n === list[0]) ? String(list[0]) : list.join(' × ');
}

function padding(node: GraphNode): string {
  const { auto_padding: auto, pads, auto_pad: word, lower_pad: lower } = node.attributes;
  if (Array.isArray(auto) && auto.length) {
    // the first entries may stand for axes that the kernel does not move along
    if (auto.some(Boolean)) return 'same size';
    return numbers(lower)?.some(Boolean) ? `by ${each(lower)}` : 'none';
  }
  if (numbers(pads)) return (pads as number[]).some(Boolean) ? `by ${each(pads)}` : 'none';
  if (typeof word === 'string' && word !== 'NOTSET') return word.toLowerCase().startsWith('same') ? 'same size' : 'none';
  return CONVOLUTIONS.has(node.op) || POOLINGS.has(node.op) ? 'none' : '';
}

/** What the one thing in a layer does that gives it its name. */
function work(graph: Graph, node: GraphNode): Fact[] {
  const facts: Fact[] = [];
  const add = (key: string, value: string) => {
    if (value) facts.push([key, value]);
  };
  const weights = weightsOf(graph, node);
  const a = node.attributes;
  if (CONVOLUTIONS.has(node.op)) {
    const kernel = numbers(a.kernel_shape) ?? weights?.shape.slice(2) ?? [];
    add('kernel', kernel.length ? shapeText(kernel) : '');
    add('filters', String(node.shape[0] ?? ''));
  } else if (POOLINGS.has(node.op)) {
    const average = a.pooling_type === 1 || node.op.includes('Average');
    add('takes', average ? 'the mean' : 'the largest');
    add('window', (numbers(a.pooling_window_shape) ?? numbers(a.kernel_shape) ?? []).join(' × ') || 'all');
  } else if (PRODUCTS.has(node.op) && weights) {
    const out = size(node.shape);
    add('maps', `${short(size(weights.shape) / Math.max(1, out))} to ${short(out)}`);
    return facts;
  }
  add('stride', each(a.strides));
  add('pad', padding(node));
  const dilation = each(a.dilation ?? a.dilations);
  if (dilation !== '1') add('dilation', dilation);
  const groups = a.groups ?? a.group;
  if (typeof groups === 'number' && groups > 1) add('groups', String(groups));
  return facts;
}

/** What a layer (an operator, a block, a group) is, in words; for one sample. */
export function layerFacts(graph: Graph, node: GraphNode): Fact[] {
  if (node.kind === 'input' || node.kind === 'output' || node.kind === 'parameter' || node.kind === 'constant') return [];
  const inside = leavesOf(graph, node.id);
  const main = inside.filter(leaf => CONVOLUTIONS.has(leaf.op) || POOLINGS.has(leaf.op) || PRODUCTS.has(leaf.op));
  const facts: Fact[] = main.length === 1 ? work(graph, main[0]!) : [];
  const last = inside.at(-1);
  if (graph.isBlock(node.id) && main.length === 1 && last && ACTIVATIONS.has(last.op)) facts.push(['activation', last.op]);
  return [...facts, ...costs(graph, node.id)];
}

const known = new WeakMap<Graph, Map<string | null, Fact[]>>();

/** Operations and memory of a node, or of the whole graph; worked out once. */
export function costs(graph: Graph, uid: string | null): Fact[] {
  const before = known.get(graph) ?? new Map<string | null, Fact[]>();
  known.set(graph, before);
  const facts = before.get(uid) ?? worked(graph, uid);
  before.set(uid, facts);
  return facts;
}

function worked(graph: Graph, uid: string | null): Fact[] {
  const leaves = uid === null ? graph.children(null).flatMap(child => leavesOf(graph, child.id)) : leavesOf(graph, uid);
  let [operationsInAll, values] = [0, 0];
  for (const leaf of leaves) {
    operationsInAll += operations(graph, leaf);
    values += size(leaf.shape) * (BYTES[leaf.dtype] ?? 4);
  }
  const held = new Set<string>();
  let weights = 0;
  for (const leaf of leaves)
    for (const parameter of graph.parametersOn(leaf.id)) {
      if (held.has(parameter.id)) continue;
      held.add(parameter.id);
      weights += size(parameter.shape) * (BYTES[parameter.dtype] ?? 4);
    }
  const per = leaves.some(leaf => leaf.axes.length > 1) ? 'a frame' : 'a sample';
  const facts: Fact[] = [];
  if (operationsInAll) facts.push(['FLOPs', `${spaced(operationsInAll).trim()} ${per}`]);
  if (weights) facts.push(['memory', `${spaced(weights)}B of weights`]);
  if (values) facts.push([weights ? '' : 'memory', `${spaced(values)}B of values ${per}`]);
  return facts;
}
