// One node as a card: its title, what it holds, and for a block the sign that it opens.
import type { Graph } from '../model/graph';
import { axisName, shapeText, titleOf } from '../model/graph';
import { cardLines, counted, fitText, type Box } from '../model/layout';
import { svg } from './dom';

/** A node in words, for screen readers. */
export function wordsFor(graph: Graph, box: Box): string {
  const { node } = box;
  // what is to be seen first, as it is written
  const words = [titleOf(node), ...cardLines(graph, node).map(line => line.text)];
  if (node.name && !words.includes(node.name)) words.push(node.name);
  words.push(node.kind);
  words.push(`${node.axes.map(axisName).join(', ')} ${shapeText(node.shape)}`.trim());
  if (graph.outputs.has(node.id)) words.push('output');
  if (graph.changeOf(node.id) && !node.change) words.push(graph.changeOf(node.id));
  if (node.change) words.push(node.change);
  if (node.problem) words.push(`problem: ${node.problem}`);
  return words.join(', ');
}

/** What is said of a node under the mouse. */
export function tooltip(graph: Graph, box: Box): string {
  const { node } = box;
  const lines = [[titleOf(node), node.name].filter((word, i, all) => word && all.indexOf(word) === i).join(' · ')];
  lines.push(`gives ${[...node.axes.map(axisName), shapeText(node.shape)].join(' ')}${node.dtype ? ` ${node.dtype}` : ''}`);
  const held = graph.parametersOn(node.id).filter(p => p.kind === 'parameter').map(p => `${p.name || 'parameter'} ${shapeText(p.shape)}`);
  if (held.length) lines.push(held.join(', '));
  else if (node.parameters) lines.push(counted(node.parameters, 'parameter'));
  if (node.source) lines.push(`made at ${node.source}`);
  if (node.note) lines.push(node.note);
  if (graph.isBlock(node.id)) lines.push(box.open ? 'double-click closes it' : 'double-click opens it');
  return lines.join('\n');
}

export function nodeCard(graph: Graph, box: Box): SVGGElement {
  const { node, width, height, open } = box;
  const block = graph.isBlock(node.id);
  const lines = cardLines(graph, node);
  const element = svg('g', {
    class: `cntk-node ${node.kind}${open ? ' open' : ''}${node.problem ? ' alarm' : ''} ${graph.changeOf(node.id)}`,
    transform: `translate(${box.x.toFixed(1)} ${box.y.toFixed(1)})`,
    role: 'button',
    tabindex: -1,
    'aria-label': wordsFor(graph, box),
    'aria-expanded': block ? String(open) : undefined
  });
  element.dataset.uid = node.id;
  const leaf = node.kind === 'input' || node.kind === 'placeholder' || node.kind === 'output';
  if (node.kind === 'repeat' && !open)
    for (const shift of [6, 3]) element.append(svg('rect', { class: 'card', x: shift, y: shift, width, height, rx: 6 }));
  element.append(svg('rect', { class: 'card', width, height, rx: leaf ? height / 2 : 6 }));
  const room = width - 20 - (block ? 18 : 0);
  const left = open ? 10 : width / 2 - (block ? 8 : 0);
  const anchor = open ? 'start' : 'middle';
  const top = open ? 19 : 8 + 13;
  if (open) {
    const words = [titleOf(node), node.name].filter((word, i, all) => word && all.indexOf(word) === i).join('  ');
    element.append(svg('text', { class: 'title', x: left, y: top }, fitText(words, 13, room, true)));
  } else {
    element.append(svg('text', { class: 'title', x: left, y: top, 'text-anchor': anchor }, fitText(titleOf(node), 13, room, true)));
    lines.forEach(({ text, kind }, i) => {
      element.append(' ', svg('text', { class: kind, x: left, y: top + 16 + i * 14, 'text-anchor': anchor }, fitText(text, 11, room, kind === 'told')));
    });
  }
  if (block) element.append(svg('text', { class: 'sign', x: width - 14, y: open ? 20 : height / 2 + 5, 'aria-hidden': true }, open ? '−' : '+'));
  if (graph.loopsInside(node.id) && !open)
    element.append(svg('text', { class: 'more', x: width - 14, y: block ? height - 5 : 14, 'text-anchor': 'middle' }, '↻'));
  element.append(svg('text', { class: 'value', x: width - 4, y: -3 }));
  return element;
}
