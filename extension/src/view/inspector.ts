// What is known of the selected node: attributes, shapes, where it was made, neighbours, and its parameters' values.
import type { Graph, GraphNode } from '../model/graph';
import { axisName, shapeText, short, titleOf } from '../model/graph';
import { costs, layerFacts } from '../model/facts';
import type { Curve } from '../model/layout';
import type { Statistics } from '../protocol/messages';
import { html, svg } from './dom';

export interface InspectorHooks {
  go(uid: string): void;
  /** Statistics of the parameters of a node, or null where no kernel can tell. */
  values: ((uid: string) => Promise<Statistics[]>) | null;
}

export class Inspector {
  readonly element = html('div', { class: 'cntk-inspector', role: 'region', 'aria-label': 'Selected node' });
  /** Whether a sample is fed, so that every node has a value. */
  fed = false;
  private asked = 0;

  constructor(private readonly hooks: InspectorHooks) {}

  show(graph: Graph, uid: string): void {
    const number = ++this.asked;
    const node = graph.node.get(uid);
    if (!node) {
      this.element.replaceChildren(...overview(graph));
      return;
    }
    const parts: Element[] = [html('h3', {}, titleOf(node))];
    if (node.problem) parts.push(html('p', { class: 'problem' }, node.problem));
    const differs = graph.changeOf(uid);
    const notes = [node, ...graph.parametersOn(uid)].flatMap(n => (n.note ? [n === node ? n.note : `${n.name || n.kind}: ${n.note}`] : []));
    if (differs) parts.push(html('p', { class: 'problem' }, [differs, ...notes].join(': ')));
    parts.push(facts(graph, node));
    const docs = graph.snapshot.docs ?? {};
    if (Object.hasOwn(docs, node.op)) parts.push(manual(node.op, docs[node.op]!));
    if (Object.keys(node.attributes).length)
      parts.push(html('h4', {}, 'Attributes'), table(Object.entries(node.attributes).map(([key, value]) => [key, inWords(value)])));
    const on = [...(node.kind === 'parameter' ? [node] : []), ...graph.parametersOn(uid)];
    if (on.length) parts.push(html('h4', {}, 'Parameters'), table(on.map(p => [p.name || p.kind, `${shapeText(p.shape)} ${p.dtype}`])));
    if (on.length || this.fed) {
      const values = html('div');
      parts.push(values);
      if (this.hooks.values) void this.fetch(this.hooks.values, uid, values, number);
    }
    parts.push(...this.neighbours(graph, node));
    this.element.replaceChildren(...parts);
  }

  /** What flows over an edge, and both its ends. */
  showFlow(graph: Graph, { from, to, link }: Curve): void {
    this.asked++;
    const rows: [string, string][] = [['shape', shapeText(link.shape)]];
    if (link.axes.length) rows.push(['axes', link.axes.map(axisName).join(', ')]);
    const source = graph.node.get(from);
    if (source?.dtype) rows.push(['type', source.dtype]);
    rows.push(['values', `${link.shape.reduce((a, b) => a * Math.max(1, b), 1).toLocaleString('en')} each`]);
    if (link.recurrent) rows.push(['when', 'at the next step']);
    if (link.count > 1) rows.push(['edges', String(link.count)]);
    const end = (title: string, uid: string) => {
      const node = graph.node.get(uid);
      const go = html('button', { type: 'button' }, node ? nameOf(node) : uid);
      go.addEventListener('click', () => this.hooks.go(uid));
      return [html('h4', {}, title), html('ul', {}, html('li', {}, go))];
    };
    this.element.replaceChildren(html('h3', {}, 'Edge'), table(rows), ...end('From', from), ...end('To', to));
  }

  private async fetch(ask: (uid: string) => Promise<Statistics[]>, uid: string, into: HTMLElement, number: number): Promise<void> {
    let parts: Element[];
    try {
      parts = (await ask(uid)).flatMap(statistics);
    } catch (error) {
      parts = [html('p', { class: 'problem' }, error instanceof Error ? error.message : String(error))];
    }
    if (number === this.asked) into.replaceChildren(...parts);
  }

  private neighbours(graph: Graph, node: GraphNode): Element[] {
    const parts: Element[] = [];
    const list = (title: string, uids: string[]) => {
      if (!uids.length) return;
      const items = [...new Set(uids)].slice(0, 40).map(uid => {
        const other = graph.node.get(uid)!;
        const link = html('button', { type: 'button' }, nameOf(other) || uid);
        link.addEventListener('click', () => this.hooks.go(uid));
        return html('li', {}, link);
      });
      parts.push(html('h4', {}, title), html('ul', {}, ...items));
    };
    const hosted = (uid: string) => graph.node.get(uid)?.host !== undefined;
    list('Fed by', graph.inputsOf(node.id).filter(edge => !hosted(edge.from)).map(edge => edge.from));
    list('Feeds', graph.consumersOf(node.id).map(edge => edge.to));
    return parts;
  }
}

function nameOf(node: GraphNode): string {
  return [titleOf(node), node.name].filter((word, i, all) => word && all.indexOf(word) === i).join(' ');
}

/** What the manual says, behind one click. */
function manual(op: string, text: string): Element {
  const [call = '', ...rest] = text.split('\n\n');
  return html('details', {}, html('summary', {}, `Manual: ${op}`), html('code', {}, call), html('p', {}, rest.join('\n\n')));
}

function overview(graph: Graph): Element[] {
  const real = graph.snapshot.nodes.filter(node => node.kind !== 'group' && node.kind !== 'repeat' && node.kind !== 'output');
  const sum = real.reduce((total, node) => total + (node.kind === 'parameter' ? node.parameters : 0), 0);
  return [
    html('h3', {}, graph.name || 'Model'),
    table([['nodes', String(real.length)], ['parameters', sum.toLocaleString('en')], ['outputs', String(graph.outputs.size)], ...costs(graph, null)]),
    html('p', {}, 'Click a node or an edge to inspect it; + opens a block. Drag moves, Ctrl + wheel zooms.'),
    html('p', {}, 'Keys: arrows move, Enter opens, / searches, + − 0 1 zoom; of a fed sample n p nodes, . , frames.')
  ];
}

function facts(graph: Graph, node: GraphNode): Element {
  const rows: (readonly [string, string])[] = [];
  if (node.name && node.name !== titleOf(node)) rows.push(['name', node.name]);
  if (node.op && node.op !== titleOf(node) && node.kind !== 'repeat') rows.push(['op', node.op]);
  rows.push(['kind', node.kind]);
  if (node.count !== undefined) rows.push(['times', String(node.count)]);
  rows.push([node.kind === 'function' || node.kind === 'block' ? 'output shape' : 'shape', shapeText(node.shape)]);
  if (node.axes.length) rows.push(['axes', node.axes.map(axisName).join(', ')]);
  if (node.dtype) rows.push(['type', node.dtype]);
  if (node.parameters) rows.push(['parameters', node.parameters.toLocaleString('en')]);
  rows.push(...layerFacts(graph, node));
  if (node.source) rows.push(['made at', node.source]);
  const around = graph.path(node.id).slice(0, -1).map(uid => graph.node.get(uid)!);
  if (around.length) rows.push(['inside', around.map(block => block.name || titleOf(block)).join(' / ')]);
  if (node.kind !== 'group' && node.kind !== 'repeat') rows.push(['uid', node.id]);
  return table(rows);
}

function table(rows: readonly (readonly [string, string])[]): HTMLElement {
  // a long word or value has a line of its own
  const wide = ([key, value]: readonly [string, string]) => (key.length > 15 || (key.length > 10 && value.length > 18) ? { class: 'wide' } : {});
  return html('dl', {}, ...rows.flatMap(row => [html('dt', wide(row), row[0]), html('dd', wide(row), row[1])]));
}

function inWords(value: unknown): string {
  if (Array.isArray(value)) return value.map(inWords).join(', ');
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return (typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)).slice(0, 2000);
}

function statistics(s: Statistics): Element[] {
  const number = (n: number | null) => (n === null ? '–' : short(n));
  const rows: [string, string][] = [
    ['range', `${number(s.low)} … ${number(s.high)}`],
    ['mean ± dev', `${number(s.mean)} ± ${number(s.deviation)}`],
    ['zeros', `${s.zeros} of ${s.count}`]
  ];
  if (s.not_finite) rows.push(['not finite', String(s.not_finite)]);
  const parts: Element[] = [html('h4', {}, s.name), table(rows), histogram(s)];
  if (s.image.length) parts.push(image(s));
  return parts;
}

function histogram(s: Statistics): SVGSVGElement {
  const top = Math.max(...s.histogram, 1);
  const picture = svg('svg', {
    class: 'histogram', viewBox: `0 0 ${s.histogram.length} 40`, preserveAspectRatio: 'none', role: 'img',
    'aria-label': `Histogram of ${s.name} from ${s.low ?? 'nothing'} to ${s.high ?? 'nothing'}`
  });
  s.histogram.forEach((n, i) => {
    const height = (40 * n) / top;
    picture.append(svg('rect', { x: i + 0.06, y: 40 - height, width: 0.88, height }));
  });
  return picture;
}

/** The last two axes as shades: blue below zero, red above. */
function image(s: Statistics): HTMLCanvasElement {
  const rows = s.image.length;
  const columns = s.image[0]?.length ?? 0;
  const canvas = html('canvas', { width: columns, height: rows, role: 'img', 'aria-label': `Values of ${s.name}: blue below zero, red above` });
  // as many pixels each way: maps keep their form
  const scale = Math.min(226 / columns, 226 / rows, 14);
  canvas.style.width = `${Math.round(columns * scale)}px`;
  canvas.style.height = `${Math.round(rows * scale)}px`;
  const context = canvas.getContext('2d');
  if (!context || !columns) return canvas;
  const top = Math.max(...s.image.flat().map(Math.abs), 1e-30);
  const pixels = context.createImageData(columns, rows);
  s.image.flat().forEach((value, i) => {
    const strength = Math.abs(value) / top;
    const fade = Math.round(255 * (1 - strength));
    pixels.data.set(value < 0 ? [fade, fade, 255, 255] : [255, fade, fade, 255], 4 * i);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}
