// What hands do on the composer's canvas: select several, draw a frame, drag from port to port, drop layers on nodes and
// edges. Everything here is also a key or a menu entry; it asks for edits and decides nothing about programs.
import { distance, edgeOf, within } from '../model/compose';
import type { Graph } from '../model/graph';
import type { Curve } from '../model/layout';
import type { Canvas } from './canvas';
import { svg } from './dom';

export interface HandHooks {
  graph(): Graph | null;
  /** Nodes are selected; `add` keeps those that were. */
  pick(uids: string[], add: boolean): void;
  connect(source: string, target: string, port: number): void;
  /** Something from the palette was dropped on a node, an edge or nothing. */
  drop(path: string, on: { node?: string; edge?: [string, string]; branch: boolean }): void;
  menu(uid: string, x: number, y: number): void;
}

const NEAR = 22;

export class ComposeHands {
  private readonly over = svg('g', { class: 'cntk-over', 'aria-hidden': true });
  private readonly surface: SVGGElement;

  constructor(
    private readonly canvas: Canvas,
    private readonly hooks: HandHooks,
    signal: AbortSignal
  ) {
    this.surface = this.canvas.svg.querySelector<SVGGElement>(':scope > g')!;
    this.canvas.svg.append(this.over);
    this.picking(signal);
    this.dragging(signal);
    this.dropping(signal);
    this.canvas.svg.addEventListener('contextmenu', event => {
      event.preventDefault();
      event.stopPropagation(); // the notebook has a menu of its own
      const uid = this.uidAt(event.target);
      const frame = this.canvas.element.getBoundingClientRect();
      const card = event.clientX || event.clientY ? null : this.cardOf(uid)?.getBoundingClientRect();
      this.hooks.menu(uid, (card ? card.left + card.width / 2 : event.clientX) - frame.left, (card ? card.bottom : event.clientY) - frame.top);
    }, { signal });
  }

  /** Ports on what was drawn: one for each value that a node reads, and one for what it gives. */
  dress(graph: Graph): void {
    const reads = new Map<string, number>();
    for (const edge of graph.snapshot.edges) reads.set(edge.to, Math.max(reads.get(edge.to) ?? 0, edge.port + 1));
    const across = this.canvas.scene.direction === 'right';
    for (const card of this.canvas.svg.querySelectorAll<SVGGElement>('.cntk-node')) {
      const box = this.canvas.scene.boxes.get(card.dataset.uid ?? '');
      if (!box || box.open) continue;
      const { width, height } = box;
      const port = (kind: 'in' | 'out', at: number, of: number, words: string): void => {
        const along = (at + 1) / (of + 1);
        const [cx, cy] = across ? [kind === 'in' ? 0 : width, height * along] : [width * along, kind === 'in' ? 0 : height];
        const circle = svg('circle', { class: `cntk-port ${kind}`, cx, cy, r: 5.5 }, svg('title', {}, words));
        circle.dataset.port = String(at);
        card.append(circle);
      };
      const leaf = box.node.kind === 'input' || box.node.kind === 'parameter' || box.node.kind === 'constant';
      const many = leaf ? 0 : Math.max(1, reads.get(box.node.id) ?? 1);
      for (let i = 0; i < many; i++) port('in', i, many, many > 1 ? `operand ${i + 1}: drop a value here` : 'drop a value here');
      port('out', 0, 1, 'drag to what is to read this value');
    }
  }

  private uidAt(target: EventTarget | null): string {
    return target instanceof Element ? (target.closest<SVGGElement>('.cntk-node')?.dataset.uid ?? '') : '';
  }

  private cardOf(uid: string): SVGGElement | null {
    return uid ? this.canvas.svg.querySelector<SVGGElement>(`.cntk-node[data-uid="${CSS.escape(uid)}"]`) : null;
  }

  /** A place of the page on the picture. */
  private place(event: { clientX: number; clientY: number }): { x: number; y: number } {
    const frame = this.canvas.element.getBoundingClientRect();
    const { x, y, scale } = this.canvas.view;
    return { x: (event.clientX - frame.left - x) / scale, y: (event.clientY - frame.top - y) / scale };
  }

  // ---- several at once

  private picking(signal: AbortSignal): void {
    const element = this.canvas.svg;
    element.addEventListener('click', event => {
      const uid = this.uidAt(event.target);
      if (!uid || !(event.shiftKey || event.ctrlKey || event.metaKey)) return;
      event.stopImmediatePropagation();
      this.canvas.focus(uid);
      this.hooks.pick([uid], true);
    }, { signal, capture: true });
    let from: { x: number; y: number } | null = null;
    let frame: SVGRectElement | null = null;
    const shape = (event: PointerEvent) => {
      const to = this.place(event);
      return { x: Math.min(from!.x, to.x), y: Math.min(from!.y, to.y), width: Math.abs(to.x - from!.x), height: Math.abs(to.y - from!.y) };
    };
    element.addEventListener('pointerdown', event => {
      if (!event.shiftKey || event.button !== 0 || this.isPort(event.target)) return;
      event.stopImmediatePropagation();
      from = this.place(event);
    }, { signal, capture: true });
    element.addEventListener('pointermove', event => {
      if (!from) return;
      event.stopImmediatePropagation();
      const { x, y, width, height } = shape(event);
      if (!frame && width + height < 6) return;
      if (!frame) {
        frame = svg('rect', { class: 'cntk-frame' });
        this.surface.append(frame);
        element.setPointerCapture(event.pointerId);
      }
      for (const [name, value] of Object.entries({ x, y, width, height })) frame.setAttribute(name, String(value));
    }, { signal, capture: true });
    element.addEventListener('pointerup', event => {
      if (!from) return;
      const boxes = [...this.canvas.scene.boxes.values()].map(box => ({ id: box.node.id, x: box.x, y: box.y, width: box.width, height: box.height, open: box.open }));
      if (frame) {
        this.hooks.pick(within(boxes, shape(event)), true);
        element.addEventListener('click', click => click.stopImmediatePropagation(), { capture: true, once: true });
      }
      frame?.remove();
      from = frame = null;
    }, { signal, capture: true });
  }

  // ---- from port to port

  private isPort(target: EventTarget | null): target is SVGCircleElement {
    return target instanceof SVGCircleElement && target.classList.contains('cntk-port');
  }

  private dragging(signal: AbortSignal): void {
    const element = this.canvas.svg;
    let start: { uid: string; out: boolean; port: number; x: number; y: number } | null = null;
    let line: SVGPathElement | null = null;
    const end = () => {
      line?.remove();
      element.classList.remove('connecting');
      this.light('');
      start = line = null;
    };
    element.addEventListener('pointerdown', event => {
      if (!this.isPort(event.target) || event.button !== 0) return;
      event.stopImmediatePropagation();
      event.preventDefault();
      const out = event.target.classList.contains('out');
      start = { uid: this.uidAt(event.target), out, port: Number(event.target.dataset.port), ...this.place(event) };
      element.setPointerCapture(event.pointerId);
      element.classList.add('connecting');
    }, { signal, capture: true });
    element.addEventListener('pointermove', event => {
      if (!start) return;
      event.stopImmediatePropagation();
      const to = this.place(event);
      if (!line) {
        line = svg('path', { class: 'cntk-wire' });
        this.surface.append(line);
      }
      const half = (start.y + to.y) / 2;
      line.setAttribute('d', `M${start.x} ${start.y} C${start.x} ${half} ${to.x} ${half} ${to.x} ${to.y}`);
      this.light(this.under(event)?.uid ?? '');
    }, { signal, capture: true });
    element.addEventListener('pointerup', event => {
      if (!start) return;
      event.stopImmediatePropagation();
      element.addEventListener('click', click => click.stopImmediatePropagation(), { capture: true, once: true });
      const found = this.under(event);
      const { uid, out, port } = start;
      end();
      if (!found || found.uid === uid) return;
      if (out) this.hooks.connect(uid, found.uid, found.port);
      else this.hooks.connect(found.uid, uid, port);
    }, { signal, capture: true });
    element.addEventListener('pointercancel', end, { signal });
  }

  /** The node under the pointer, and which of its operands is meant. */
  private under(event: PointerEvent): { uid: string; port: number } | null {
    const target = document.elementFromPoint(event.clientX, event.clientY) ?? this.shadowed(event);
    const uid = this.uidAt(target);
    if (!uid) return null;
    if (this.isPort(target) && target.classList.contains('in')) return { uid, port: Number(target.dataset.port) };
    const ports = [...(this.cardOf(uid)?.querySelectorAll<SVGCircleElement>('.cntk-port.in') ?? [])];
    const far = (circle: SVGCircleElement) => {
      const { left, top, width, height } = circle.getBoundingClientRect();
      return Math.hypot(event.clientX - left - width / 2, event.clientY - top - height / 2);
    };
    const nearest = ports.sort((a, b) => far(a) - far(b))[0];
    return { uid, port: nearest ? Number(nearest.dataset.port) : 0 };
  }

  private shadowed(event: PointerEvent): Element | null {
    const root = this.canvas.svg.getRootNode();
    return root instanceof ShadowRoot ? root.elementFromPoint(event.clientX, event.clientY) : null;
  }

  private light(uid: string): void {
    for (const card of this.canvas.svg.querySelectorAll('.cntk-node.aimed')) card.classList.remove('aimed');
    this.cardOf(uid)?.classList.add('aimed');
  }

  // ---- from the palette

  private dropping(signal: AbortSignal): void {
    const { element } = this.canvas;
    const clear = () => {
      element.classList.remove('dropping');
      this.light('');
      for (const edge of this.canvas.svg.querySelectorAll('.cntk-edge.aimed')) edge.classList.remove('aimed');
    };
    element.addEventListener('dragover', event => {
      event.preventDefault();
      clear();
      element.classList.add('dropping');
      const found = this.edgeAt(event);
      const uid = this.uidAt(event.target);
      if (found) this.paths()[found.at]?.classList.add('aimed');
      else this.light(uid);
    }, { signal });
    element.addEventListener('dragleave', clear, { signal });
    element.addEventListener('drop', event => {
      event.preventDefault();
      const found = this.edgeAt(event);
      const node = this.uidAt(event.target);
      clear();
      const path = event.dataTransfer?.getData('application/x-cntk-layer') ?? '';
      if (path) this.hooks.drop(path, { ...(found ? { edge: found.edge } : node ? { node } : {}), branch: event.altKey });
    }, { signal });
  }

  private paths(): Element[] {
    return [...this.canvas.svg.querySelectorAll('.cntk-edge')];
  }

  /** The edge near the pointer, unless it is over a closed node. */
  private edgeAt(event: DragEvent): { at: number; edge: [string, string] } | null {
    const graph = this.hooks.graph();
    const over = this.canvas.scene.boxes.get(this.uidAt(event.target));
    if (!graph || (over && !over.open)) return null;
    const { x, y } = this.place(event);
    let best: { curve: Curve; far: number } | null = null;
    for (const curve of this.canvas.scene.curves) {
      const far = distance(curve.points, x, y) * this.canvas.view.scale;
      if (far < NEAR && (!best || far < best.far)) best = { curve, far };
    }
    const edge = best && edgeOf(graph, best.curve.from, best.curve.to);
    if (!best || !edge) return null;
    const drawn = [...this.canvas.scene.curves].sort((a, b) => a.depth - b.depth);
    return { at: drawn.indexOf(best.curve), edge };
  }
}
