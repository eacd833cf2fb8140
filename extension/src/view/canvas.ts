// Nodes and edges on a surface that pans and zooms; selection, matches and painted values without a new layout.
import type { Graph } from '../model/graph';
import { LARGEST_FIT, FRAME, firstScale } from '../model/columns';
import { axisName, shapeText, short, titleOf } from '../model/graph';
import { flowParts, type Box, type Curve, type Scene } from '../model/layout';
import { fraction, type Painted } from '../model/overlay';
import { html, ownId, svg } from './dom';
import { nodeCard, tooltip } from './nodeCard';
import { Tip } from './tip';
import { axisColours, scaleColour } from './theme';

export interface CanvasHooks {
  select(uid: string): void;
  toggle(uid: string): void;
  moved(): void;
  /** An edge was clicked; nothing where a host shows no edges. */
  follow?(curve: Curve): void;
}

export interface View {
  x: number;
  y: number;
  scale: number;
}

const SMALLEST = 0.05;
const LARGEST = 4;

export class Canvas {
  readonly element: HTMLElement;
  readonly svg: SVGSVGElement;
  scene: Scene = { direction: 'down', columns: false, width: 0, height: 0, boxes: new Map(), curves: [], hidden: 0 };
  view: View = { x: 0, y: 0, scale: 1 };
  private readonly surface: SVGGElement;
  /** An id of the page is that of one view: what another view refers to vanishes with a hidden tab. */
  private readonly arrow = ownId('arrow');
  private readonly cards = new Map<string, SVGGElement>();
  private edges: { curve: Curve; element: SVGGElement }[] = [];
  private focused = '';
  private graph: Graph | null = null;
  /** Whether the user has moved or zoomed; until then the whole picture is fitted in. */
  private touched = false;

  constructor(
    private readonly hooks: CanvasHooks,
    signal: AbortSignal
  ) {
    this.surface = svg('g');
    const marker = svg('marker', { id: this.arrow, viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: 'auto-start-reverse' });
    marker.append(svg('path', { class: 'cntk-arrow', d: 'M0 0.5 8 4 0 7.5z' }));
    this.svg = svg('svg', { role: 'group' }, svg('defs', {}, marker), this.surface);
    this.element = html('div', { class: 'cntk-canvas' }, this.svg);
    this.listen(signal);
    new Tip(this.element, target => this.wordsAt(target), signal);
  }

  /** What is said of what lies under the mouse. */
  private wordsAt(target: Element): string {
    const box = this.scene.boxes.get(this.uidAt(target));
    if (box) return this.graph ? tooltip(this.graph, box) : '';
    const edge = this.edges[Number(target.closest<SVGGElement>('.cntk-edge')?.dataset.edge ?? -1)];
    return edge ? this.flow(edge.curve) : '';
  }

  /** Draw a scene; the node `anchor` keeps its place on the screen. */
  show(graph: Graph, scene: Scene, anchor = ''): void {
    const before = this.scene.boxes.get(anchor);
    const after = scene.boxes.get(anchor);
    if (before && after) {
      this.touched = true;
      this.view.x += (before.x - after.x) * this.view.scale;
      this.view.y += (before.y - after.y) * this.view.scale;
    }
    const hadFocus = this.svg.contains(document.activeElement);
    this.scene = scene;
    this.graph = graph;
    this.svg.setAttribute('aria-label', `Graph of ${graph.name || 'a model'}: ${scene.boxes.size} nodes. Arrow keys move, Enter opens.`);
    this.cards.clear();
    this.edges = [];
    const colours = axisColours(graph.axes);
    const parts: Element[] = [];
    const deepest = Math.max(0, ...[...scene.boxes.values()].map(box => box.depth));
    for (let depth = 0; depth <= deepest; depth++) {
      // curves of a level lie above the block they are in and below its nodes
      for (const curve of scene.curves) if (curve.depth === depth) parts.push(this.edge(curve, colours));
      for (const box of scene.boxes.values()) {
        if (box.depth !== depth) continue;
        const card = nodeCard(graph, box);
        this.cards.set(box.node.id, card);
        parts.push(card);
      }
    }
    this.surface.replaceChildren(...parts);
    this.place();
    if (before && after) this.keepFull(after);
    const focus = scene.boxes.has(this.focused) ? this.focused : (scene.boxes.keys().next().value ?? '');
    this.focus(focus, hadFocus);
  }

  /** Leave no empty room beside a picture larger than the pane, and have the head of a box in sight. */
  private keepFull(box: Box): void {
    const { width, height } = this.pane();
    const { scale } = this.view;
    if (!width) return;
    const within = (at: number, room: number, whole: number) =>
      whole * scale > room ? Math.min(8, Math.max(room - whole * scale - 8, at)) : Math.min(room - whole * scale, Math.max(0, at));
    const head = (at: number, place: number, size: number, room: number) => Math.min(Math.max(at, 8 - place * scale), Math.max(8 - place * scale, room - (place + size) * scale - 8));
    const x = head(within(this.view.x, width, this.scene.width), box.x, box.width, width);
    const y = head(within(this.view.y, height, this.scene.height), box.y, Math.min(box.height, height / scale), height);
    this.view = { scale, x, y };
    this.place();
  }

  select(uid: string): void {
    for (const [id, card] of this.cards) card.classList.toggle('selected', id === uid);
    for (const { curve, element } of this.edges)
      element.classList.toggle('near', uid !== '' && (curve.from === uid || curve.to === uid));
  }

  /** Mark edges that a value cannot pass. */
  blame(wrong: (from: string, to: string) => boolean): void {
    for (const { curve, element } of this.edges) element.classList.toggle('wrong', wrong(curve.from, curve.to));
  }

  match(uids: ReadonlySet<string>): void {
    for (const [id, card] of this.cards) card.classList.toggle('match', uids.has(id));
  }

  /** Values on the cards; no layout, no new elements. */
  paint(painted: Painted | null, unit: string): void {
    for (const [uid, card] of this.cards) {
      const value = painted?.values.get(uid);
      const box = this.scene.boxes.get(uid)!;
      card.classList.toggle('painted', typeof value === 'number');
      card.classList.toggle('alarm', value === null || box.node.problem !== undefined);
      if (typeof value === 'number') card.style.setProperty('--paint', scaleColour(fraction(value, painted!.low, painted!.high)));
      const words = value === null ? 'not finite' : value === undefined || box.open ? '' : `${short(value)}${unit && ` ${unit}`}`;
      const text = card.querySelector(':scope > .value')!;
      if (text.textContent !== words) text.textContent = words;
    }
  }

  /** Whether the user has moved or zoomed. */
  get moved(): boolean {
    return this.touched;
  }

  /** Begin anew, unless the user has chosen what to see. */
  settle(anchor: string): void {
    if (!this.touched && !anchor) this.fit();
  }

  /** All of the picture if it can be read so, else its beginning: the first input is in sight. */
  fit(): void {
    this.touched = false;
    this.begin(firstScale(this.scene, this.pane()));
  }

  /** All of the picture, however small. */
  all(): void {
    const { width, height } = this.pane();
    this.begin(Math.min(LARGEST_FIT, (width - FRAME.x) / this.scene.width, (height - FRAME.y) / this.scene.height));
    this.touched = true;
  }

  /** As wide as the pane. */
  fitWidth(): void {
    this.begin((this.pane().width - FRAME.x) / this.scene.width);
    this.touched = true;
  }

  /** Letters as large as elsewhere on the page. */
  actual(): void {
    this.zoom(1 / this.view.scale);
  }

  private pane(): { width: number; height: number } {
    return { width: this.element.clientWidth, height: this.element.clientHeight };
  }

  /** Put the beginning of the picture into the pane at a scale. */
  private begin(wanted: number): void {
    const { width, height } = this.pane();
    const { scene } = this;
    if (!width || !scene.width) return;
    const scale = Math.min(LARGEST, Math.max(SMALLEST, wanted));
    const first = [...scene.boxes.values()].find(box => box.node.kind === 'input') ?? scene.boxes.values().next().value;
    // where all fits it stands in the middle; else the picture begins at its border, moved on as far as the first input needs
    const place = (room: number, whole: number, at: number, size: number) => {
      if (whole * scale <= room - 8) return (room - whole * scale) / 2;
      return -Math.max(0, (at + size) * scale - room + FRAME.x) + 8;
    };
    const down = scene.direction === 'down';
    const narrow = first && down && scene.width * scale > width && !scene.columns;
    const x = narrow ? width / 2 - (first.x + first.width / 2) * scale : place(width, scene.width, first?.x ?? 0, first?.width ?? 0);
    const y = !down && first && scene.height * scale > height ? height / 2 - (first.y + first.height / 2) * scale : place(height, scene.height, first?.y ?? 0, first?.height ?? 0);
    const least = (at: number, room: number, whole: number) => (whole * scale > room - 8 ? Math.min(8, Math.max(room - whole * scale - 8, at)) : at);
    this.view = { scale, x: least(x, width, scene.width), y: least(y, height, scene.height) };
    this.place();
  }

  zoom(factor: number, x = this.element.clientWidth / 2, y = this.element.clientHeight / 2): void {
    this.touched = true;
    const scale = Math.min(LARGEST, Math.max(SMALLEST, this.view.scale * factor));
    const real = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * real, y: y - (y - this.view.y) * real };
    this.place();
  }

  pan(dx: number, dy: number): void {
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
    this.place();
  }

  /** Bring a node into sight, unless it is; too small ones are enlarged. */
  reveal(uid: string): void {
    const box = this.scene.boxes.get(uid);
    if (!box) return;
    const { clientWidth: width, clientHeight: height } = this.element;
    if (this.view.scale < 0.6) this.view.scale = 1;
    const { scale } = this.view;
    const left = box.x * scale + this.view.x;
    const top = box.y * scale + this.view.y;
    const inside = left >= 0 && top >= 0 && left + box.width * scale <= width && top + Math.min(box.height * scale, height) <= height;
    this.touched = true;
    if (!inside) this.view = { scale, x: width / 2 - (box.x + box.width / 2) * scale, y: height / 2 - (box.y + Math.min(box.height, height / scale) / 2) * scale };
    this.place();
  }

  /** Put a point of the scene in the middle. */
  centre(x: number, y: number): void {
    this.touched = true;
    this.view.x = this.element.clientWidth / 2 - x * this.view.scale;
    this.view.y = this.element.clientHeight / 2 - y * this.view.scale;
    this.place();
  }

  focus(uid: string, really = true): void {
    this.cards.get(this.focused)?.setAttribute('tabindex', '-1');
    this.focused = uid;
    const card = this.cards.get(uid);
    card?.setAttribute('tabindex', '0');
    if (really) card?.focus({ preventScroll: true });
  }

  private place(): void {
    const { x, y, scale } = this.view;
    this.surface.setAttribute('transform', `translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${scale.toFixed(4)})`);
    this.hooks.moved();
  }

  private edge(curve: Curve, colours: ReadonlyMap<string, string>): SVGGElement {
    const { points, link } = curve;
    const xy = (i: number) => `${points[i]!.x.toFixed(1)} ${points[i]!.y.toFixed(1)}`;
    let path = `M${xy(0)}`;
    for (let i = 1; i + 2 < points.length; i += 3) path += ` C${xy(i)} ${xy(i + 1)} ${xy(i + 2)}`;
    const at = curve.label;
    const words = svg('text', at ? { x: at.x.toFixed(1), y: at.y.toFixed(1) } : {});
    for (const { text, axis } of at ? flowParts(link) : [])
      words.append(axis ? svg('tspan', { class: 'axis', style: `fill: ${colours.get(axis) ?? 'inherit'}` }, text) : text);
    const element = svg(
      'g',
      { class: `cntk-edge${link.recurrent ? ' recurrent' : ''}${curve.depth ? ' inner' : ''}${curve.crowded ? ' crowded' : ''}`, 'aria-hidden': true },
      svg('path', { class: 'reach', d: path }),
      svg('path', { d: path, 'marker-end': `url(#${this.arrow})` }),
      words
    );
    element.dataset.edge = String(this.edges.length);
    this.edges.push({ curve, element });
    return element;
  }

  /** What flows over an edge, in words. */
  private flow({ from, to, link }: Curve): string {
    const name = (uid: string) => {
      const node = this.scene.boxes.get(uid)?.node;
      return node ? node.name || titleOf(node) : uid;
    };
    const lines = [`${name(from)} → ${name(to)}`, [...link.axes.map(axisName), shapeText(link.shape)].join(' ')];
    if (link.recurrent) lines.push('at the next step');
    if (link.count > 1) lines.push(`${link.count} values`);
    return lines.join('\n');
  }

  private uidAt(target: EventTarget | null): string {
    const card = target instanceof Element ? target.closest<SVGGElement>('.cntk-node') : null;
    return card?.dataset.uid ?? '';
  }

  private listen(signal: AbortSignal): void {
    let from: { x: number; y: number; id: number } | null = null;
    let travelled = 0;
    const options = { signal };
    this.svg.addEventListener('pointerdown', event => {
      if (event.button !== 0) return;
      from = { x: event.clientX, y: event.clientY, id: event.pointerId };
      travelled = 0;
    }, options);
    this.svg.addEventListener('pointermove', event => {
      if (!from || event.pointerId !== from.id) return;
      const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
      travelled += Math.abs(dx) + Math.abs(dy);
      if (travelled < 4) return;
      this.svg.setPointerCapture(event.pointerId);
      this.element.classList.add('moving');
      from = { ...from, x: event.clientX, y: event.clientY };
      this.touched = true;
      this.pan(dx, dy);
    }, options);
    const end = () => {
      from = null;
      this.element.classList.remove('moving');
    };
    this.svg.addEventListener('pointerup', end, options);
    this.svg.addEventListener('pointercancel', end, options);
    this.svg.addEventListener('click', event => {
      if (travelled >= 4) return;
      const uid = this.uidAt(event.target);
      if (uid) this.focus(uid);
      const edge = event.target instanceof Element ? event.target.closest<SVGGElement>('.cntk-edge') : null;
      if (!uid && edge && this.hooks.follow) {
        const { curve } = this.edges[Number(edge.dataset.edge)]!;
        this.hooks.select('');
        for (const one of this.edges) one.element.classList.toggle('near', one.curve === curve);
        this.hooks.follow(curve);
        return;
      }
      this.hooks.select(uid);
      if (uid && this.onSign(event, uid)) this.hooks.toggle(uid);
    }, options);
    this.svg.addEventListener('dblclick', event => {
      const uid = this.uidAt(event.target);
      if (!uid) this.fit();
      else if (!this.onSign(event, uid)) this.hooks.toggle(uid);
    }, options);
    this.svg.addEventListener('wheel', event => {
      // a plain wheel scrolls the notebook; with Ctrl (or a pinch) it zooms
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const frame = this.element.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 300), event.clientX - frame.left, event.clientY - frame.top);
    }, { signal, passive: false });
    this.svg.addEventListener('focusin', event => {
      const uid = this.uidAt(event.target);
      if (uid && uid !== this.focused) this.focus(uid, false);
    }, options);
    this.svg.addEventListener('keydown', event => this.key(event), options);
  }

  /** Whether a click hit the + or − of a block. */
  private onSign(event: MouseEvent, uid: string): boolean {
    const box = this.scene.boxes.get(uid);
    const card = this.cards.get(uid);
    if (!box || !card?.hasAttribute('aria-expanded')) return false;
    const frame = this.element.getBoundingClientRect();
    const right = (box.x + box.width) * this.view.scale + this.view.x + frame.left;
    const top = box.y * this.view.scale + this.view.y + frame.top;
    return event.clientX > right - 28 * this.view.scale && (!box.open || event.clientY < top + 30 * this.view.scale);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const uid = this.focused;
    const acts: Record<string, () => void> = {
      Enter: () => this.cards.get(uid)?.hasAttribute('aria-expanded') ? this.hooks.toggle(uid) : this.hooks.select(uid),
      ' ': () => this.hooks.select(uid),
      Escape: () => this.hooks.select(''),
      '+': () => this.zoom(1.25),
      '=': () => this.zoom(1.25),
      '-': () => this.zoom(0.8),
      '0': () => this.fit(),
      '1': () => this.actual(),
      ArrowDown: () => this.step(uid, 0, 1),
      ArrowUp: () => this.step(uid, 0, -1),
      ArrowLeft: () => this.step(uid, -1, 0),
      ArrowRight: () => this.step(uid, 1, 0)
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  /** Move the focus to the nearest node in a direction; along the flow the ends of edges are preferred. */
  private step(uid: string, dx: number, dy: number): void {
    const here = this.scene.boxes.get(uid);
    if (!here) return;
    const middleOf = (box: Box) => ({ x: box.x + box.width / 2, y: box.open ? box.y + 12 : box.y + box.height / 2 });
    const flow = this.scene.direction === 'right' ? dx : dy;
    const near = new Set(this.scene.curves.filter(c => (flow > 0 ? c.from : c.to) === uid).map(c => (flow > 0 ? c.to : c.from)));
    const from = middleOf(here);
    let best = '';
    let least = Infinity;
    for (const box of this.scene.boxes.values()) {
      if (box === here) continue;
      const to = middleOf(box);
      const along = (to.x - from.x) * dx + (to.y - from.y) * dy;
      if (along < 4 && !(flow !== 0 && near.has(box.node.id))) continue;
      const across = Math.abs((to.x - from.x) * dy + (to.y - from.y) * dx);
      const cost = along + 2 * across - (flow !== 0 && near.has(box.node.id) ? 1e4 : 0);
      if (cost < least) [best, least] = [box.node.id, cost];
    }
    if (!best) return;
    this.focus(best);
    this.hooks.select(best);
    this.reveal(best);
  }
}
