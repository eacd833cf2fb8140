// The whole graph view: bar, canvas, side with minimap and inspector. Knows no Jupyter: a host says what is open and
// selected and hears of changes.
import { Graph, readSnapshot, axisName, NotAGraph, short, titleOf, type Snapshot } from '../model/graph';
import { FittingLayout, type Engine } from '../model/layout';
import { paint, parameterOverlay, type Overlay } from '../model/overlay';
import { onPreferences, preferences } from '../model/preferences';
import { QueryError, search } from '../model/query';
import type { Feed, Statistics } from '../protocol/messages';
import { Canvas } from './canvas';
import { button, html } from './dom';
import { asPng, asSvg, download } from './exporter';
import { Inspector } from './inspector';
import { FeedBar, type Fed } from './feedBar';
import { measureWithPage } from './measure';
import { Minimap } from './minimap';
import { axisColours, STYLE } from './theme';

export interface Host {
  opened(uids: string[]): void;
  selected(uid: string): void;
  values: ((uid: string) => Promise<Statistics[]>) | null;
  /** Let a sample go through the graph, and follow it; where a kernel can do so. */
  feed: ((what: Feed['what'], nodes: number, frames: number) => Promise<string>) | null;
  /** The graph as PDF, where a kernel can make one. */
  pdf: (() => Promise<Blob>) | null;
}

/** Width of the inspector in pixels. */
const SIDE = 250;
const PARAMETERS = 'parameters';
/** The overlay that a fed sample paints. */
const SAMPLE = 'sample';

export class GraphPane {
  readonly element: HTMLElement;
  private graph: Graph | null = null;
  private opened = new Set<string>();
  private wanted: string[] = [];
  private selected = '';
  private overlays: Record<string, Overlay> = {};
  private shownOverlay = '';
  private found: string[] = [];
  private foundAt = -1;
  private fitted = false;
  private drawnFor = { width: 0, height: 0 };
  /** When the data of a graph not yet drawn arrived. */
  private arrived: number | undefined;
  private readonly ending = new AbortController();
  private layout: FittingLayout;
  private liked = preferences().graph;
  private readonly canvas: Canvas;
  private readonly minimap: Minimap;
  private readonly inspector: Inspector;
  private readonly feedBar: FeedBar;
  private readonly title = html('span', { class: 'cntk-name' });
  private readonly crumbs = html('nav', { class: 'cntk-crumbs', 'aria-label': 'Blocks around the selected node' });
  private readonly legend = html('div', { class: 'cntk-legend' });
  private readonly message = html('div', { class: 'cntk-message', role: 'status' }, 'Drawing the graph …');
  private readonly count = html('span', { class: 'cntk-found', role: 'status' });
  private readonly field = html('input', {
    type: 'search', placeholder: 'op=Conv* & params>1e6', 'aria-label': 'Search nodes: words, op=…, name=…, params>…', spellcheck: 'false'
  });
  private readonly chooser = html('select', { 'aria-label': 'Values painted on the nodes' });
  private readonly saver = html('select', { 'aria-label': 'Save the picture' });
  private readonly body: HTMLElement;
  private work: Promise<void> = Promise.resolve();

  constructor(
    private readonly host: Host,
    engine: Engine
  ) {
    const { signal } = this.ending;
    measureWithPage();
    this.layout = new FittingLayout(engine, this.liked);
    this.canvas = new Canvas({ select: uid => this.select(uid, true), toggle: uid => this.toggle(uid), moved: () => this.minimap?.update(), follow: curve => this.graph && this.inspector.showFlow(this.graph, curve) }, signal);
    this.minimap = new Minimap(this.canvas, signal);
    this.feedBar = new FeedBar(host.feed, signal);
    this.inspector = new Inspector({ go: uid => void this.go(uid), values: host.values });
    const side = html('div', { class: 'cntk-side', hidden: !this.liked.inspector }, this.minimap.element, this.inspector.element);
    this.canvas.element.append(this.crumbs, this.legend, this.zoomer(signal));
    this.body = html('div', { class: 'cntk-body' }, this.canvas.element, side);
    this.element = html('div', { class: 'cntk-lab', 'data-lm-suppress-shortcuts': 'true' }, html('style', {}, STYLE), this.bar(side, signal), this.feedBar.element, this.message, this.body, this.grip(signal));
    this.body.style.display = 'none';
    this.element.style.setProperty('--cl-height', `${this.liked.height}px`);
    onPreferences(() => this.like(engine, side), signal);
    // a view that appears in a hidden tab has no size yet
    const watch = new ResizeObserver(() => {
      if (!this.canvas.element.clientWidth || !this.canvas.scene.width) return;
      this.fitted = true;
      if (!this.canvas.moved) {
        this.canvas.fit();
        const { width, height } = this.pane();
        if (width !== this.drawnFor.width || height !== this.drawnFor.height) void this.draw(''); // another way to lay it out may show more; what is known is not laid out anew
      }
      this.minimap.update();
    });
    watch.observe(this.canvas.element);
    signal.addEventListener('abort', () => watch.disconnect());
    this.element.addEventListener('keydown', event => {
      if (event.target === this.field) return;
      if (event.key === '/') this.field.focus();
      else if (!this.feedBar.key(event)) return;
      event.preventDefault();
    }, { signal });
  }

  /** How many layouts were computed; painting values computes none. */
  get layoutRuns(): number {
    return this.layout.runs;
  }

  dispose(): void {
    this.ending.abort();
    this.element.remove();
  }

  /** The user prefers another look. */
  private like(engine: Engine, side: HTMLElement): void {
    const before = this.liked;
    this.liked = preferences().graph;
    this.element.style.setProperty('--cl-height', `${this.liked.height}px`);
    if (before.inspector !== this.liked.inspector) side.hidden = !this.liked.inspector;
    if (before.direction === this.liked.direction && before.shapes === this.liked.shapes && before.maximumVisibleNodes === this.liked.maximumVisibleNodes) return;
    this.layout = new FittingLayout(engine, this.liked);
    if (!this.graph) return;
    this.graph = this.indexed(this.graph.snapshot);
    this.fitted = false;
    void this.draw('');
  }

  private indexed(snapshot: Snapshot): Graph {
    return new Graph(snapshot, this.liked.maximumVisibleNodes);
  }

  /** Show another graph. Data that is no graph gives a message in its place. */
  async setGraph(data: unknown, opened: readonly string[]): Promise<void> {
    this.arrived = performance.now();
    try {
      this.graph = this.indexed(readSnapshot(data));
    } catch (error) {
      this.graph = null;
      this.say(error instanceof NotAGraph ? error.message : `The graph cannot be shown: ${String(error)}`, true);
      return;
    }
    delete this.element.dataset.ready;
    this.title.textContent = this.graph.name || 'Model';
    this.title.title = this.graph.name;
    this.fitted = false;
    this.fillChooser();
    await this.setOpened(opened);
  }

  async setOpened(uids: readonly string[], anchor = ''): Promise<void> {
    const same = uids.length === this.wanted.length && uids.every((uid, i) => uid === this.wanted[i]);
    if (same && this.element.dataset.ready) return this.work; // our own change, come back
    this.wanted = [...uids];
    await this.draw(anchor);
  }

  setSelected(uid: string): void {
    this.select(uid, false);
  }

  /** Where a fed sample is; nothing if none is fed. */
  setFed(fed: Partial<Fed>): void {
    this.feedBar.show(fed, fed.at && this.graph?.node.has(fed.at) ? titleOf(this.graph.node.get(fed.at)!) : '');
    this.inspector.fed = fed.at !== undefined;
    if (fed.at !== undefined) this.shownOverlay = SAMPLE in this.overlays ? SAMPLE : this.shownOverlay;
    this.fillChooser();
    this.repaint();
    if (fed.at) void this.go(fed.at, false);
    else this.select(this.selected, false);
  }

  setOverlays(overlays: Record<string, Overlay>): void {
    const before = Object.keys(this.overlays).join('\n');
    if (SAMPLE in overlays && !(SAMPLE in this.overlays) && this.inspector.fed) this.shownOverlay = SAMPLE;
    this.overlays = overlays;
    if (Object.keys(overlays).join('\n') !== before) this.fillChooser();
    this.repaint();
  }

  /** The room for the drawing; before it is seen, that around it. */
  private pane(): { width: number; height: number } {
    const { clientWidth, clientHeight } = this.canvas.element;
    if (clientWidth) return { width: clientWidth, height: clientHeight };
    const side = this.liked.inspector ? SIDE : 0;
    return { width: Math.max(0, this.element.clientWidth - side), height: this.liked.height };
  }

  private say(words: string, wrong = false): void {
    this.message.textContent = words;
    this.message.classList.toggle('wrong', wrong);
    this.message.style.display = words ? '' : 'none';
    this.body.style.display = words ? 'none' : '';
  }

  /** Lay out and draw; drawings follow each other in order. */
  private draw(anchor: string): Promise<void> {
    this.work = this.work.then(async () => {
      const { graph } = this;
      if (!graph) return;
      const start = this.arrived ?? performance.now();
      this.arrived = undefined;
      const opened = graph.affordable(this.wanted);
      try {
        this.drawnFor = this.pane();
        const keep = anchor && this.canvas.scene.boxes.has(anchor) ? this.canvas.scene.direction : undefined;
        const scene = await this.layout.scene(graph, opened, this.drawnFor, keep);
        if (graph !== this.graph) return;
        this.opened = opened;
        this.say('');
        this.canvas.show(graph, scene, anchor);
      } catch (error) {
        this.say(`The graph cannot be drawn: ${error instanceof Error ? error.message : String(error)}`, true);
        return;
      }
      if (!this.fitted && this.canvas.element.clientWidth) {
        this.fitted = true;
        this.canvas.fit();
      } else this.canvas.settle(anchor);
      this.minimap.update();
      this.select(this.selected, false);
      this.highlight();
      this.repaint();
      this.element.dataset.milliseconds = (performance.now() - start).toFixed(0);
      this.element.dataset.ready = String(drawings++);
    });
    return this.work;
  }

  private toggle(uid: string): void {
    if (!this.graph?.isBlock(uid)) return;
    const open = this.opened.has(uid);
    this.wanted = open ? this.wanted.filter(other => other !== uid) : [...[...this.opened].filter(o => o !== uid), uid];
    this.host.opened(this.wanted);
    void this.draw(uid);
  }

  private select(uid: string, tell: boolean): void {
    const { graph } = this;
    if (!graph) return;
    this.selected = graph.node.has(uid) ? uid : '';
    const shown = this.selected ? graph.shown(this.selected, this.opened) : '';
    this.canvas.select(shown);
    this.inspector.show(graph, this.selected);
    const around = this.selected ? graph.path(this.selected) : [];
    this.crumbs.replaceChildren(
      ...(around.length > 1 ? around : []).flatMap((block, i) => {
        const node = graph.node.get(block)!;
        const link = html('button', { type: 'button' }, node.name || titleOf(node));
        link.addEventListener('click', () => void this.go(block), { signal: this.ending.signal });
        return i ? [html('span', { 'aria-hidden': true }, '›'), link] : [link];
      })
    );
    if (tell) this.host.selected(this.selected);
  }

  /** Open what is around a node, select it and bring it into sight. */
  private async go(uid: string, tell = true): Promise<void> {
    const { graph } = this;
    if (!graph) return;
    const around = graph.path(uid).slice(0, -1);
    if (around.some(block => !this.opened.has(block))) {
      this.wanted = [...[...this.opened].filter(o => !around.includes(o)), ...around];
      this.host.opened(this.wanted);
      await this.draw('');
    }
    this.select(uid, tell);
    const shown = graph.shown(uid, this.opened);
    this.canvas.reveal(shown);
    this.canvas.focus(shown, false);
  }

  private repaint(): void {
    const { graph } = this;
    if (!graph) return;
    const overlay = this.shownOverlay === PARAMETERS ? parameterOverlay(graph) : this.overlays[this.shownOverlay];
    const painted = overlay ? paint(graph, overlay, this.opened) : null;
    this.canvas.paint(painted, overlay?.unit ?? '');
    const colours = axisColours(graph.axes);
    const used = [...graph.axes].sort().slice(0, 12);
    const parts: HTMLElement[] = used.map(axis => {
      const word = html('span', {}, axis === '#' ? 'batch: on every edge' : axisName(axis));
      word.style.cssText = `color: ${colours.get(axis)}; font-weight: 600`;
      return word;
    });
    for (const [change, words] of [['added', 'new'], ['removed', 'removed'], ['changed', 'changed']] as const) {
      if (graph.changes.has(change)) parts.push(html('span', {}, html('span', { class: `mark ${change}` }), words));
    }
    if (painted && Number.isFinite(painted.low))
      parts.push(html('span', {}, `${this.shownOverlay} ${short(painted.low)}`, html('span', { class: 'bar' }), `${short(painted.high)} ${overlay?.unit ?? ''}`));
    if (painted?.broken) parts.push(html('span', { class: 'wrong' }, `first not finite: ${graph.node.get(painted.broken)?.name || painted.broken}`));
    if (this.canvas.scene.hidden) parts.push(html('span', {}, `${this.canvas.scene.hidden} more nodes are not drawn: search finds them`));
    this.legend.replaceChildren(...parts);
  }

  private fillChooser(): void {
    const names = ['', ...Object.keys(this.overlays), PARAMETERS];
    if (!names.includes(this.shownOverlay)) this.shownOverlay = '';
    this.chooser.replaceChildren(...names.map(name => html('option', { value: name, selected: name === this.shownOverlay }, name ? `paint: ${name}` : 'paint nothing')));
  }

  private look(): void {
    const { graph } = this;
    if (!graph) return;
    this.count.classList.remove('wrong');
    this.count.title = '';
    this.foundAt = -1;
    try {
      this.found = search(graph, this.field.value);
      this.count.textContent = this.field.value.trim() ? `${this.found.length} found` : '';
    } catch (error) {
      if (!(error instanceof QueryError)) throw error;
      this.found = [];
      this.count.textContent = error.message;
      this.count.classList.add('wrong');
    }
    this.highlight();
  }

  private highlight(): void {
    const { graph } = this;
    if (graph) this.canvas.match(new Set(this.found.map(uid => graph.shown(uid, this.opened))));
  }

  private bar(side: HTMLElement, signal: AbortSignal): HTMLElement {
    this.field.addEventListener('input', () => this.look(), { signal });
    this.field.addEventListener('keydown', event => {
      if (event.key === 'Escape') {
        this.field.value = '';
        this.look();
      }
      if (event.key !== 'Enter' || !this.found.length) return;
      event.preventDefault();
      this.foundAt = (this.foundAt + (event.shiftKey ? -1 : 1) + this.found.length) % this.found.length;
      this.count.textContent = `${this.foundAt + 1} of ${this.found.length}`;
      void this.go(this.found[this.foundAt]!);
    }, { signal });
    this.chooser.addEventListener('change', () => {
      this.shownOverlay = this.chooser.value;
      this.repaint();
    }, { signal });
    const forms = ['svg', 'png', ...(this.host.pdf ? ['pdf'] : [])];
    this.saver.append(html('option', { value: '' }, 'save as …'), ...forms.map(form => html('option', { value: form }, form.toUpperCase())));
    this.saver.addEventListener('change', () => {
      void this.save(this.saver.value);
      this.saver.value = '';
    }, { signal });
    const panel = button('Info', 'Info: show or hide the inspector', () => {
      side.hidden = !side.hidden;
      panel.setAttribute('aria-pressed', String(!side.hidden));
    }, signal);
    panel.setAttribute('aria-pressed', String(!side.hidden));
    return html(
      'div', { class: 'cntk-bar', role: 'toolbar', 'aria-label': 'Graph' },
      this.title, this.field, this.count, html('span', { class: 'cntk-gap' }), this.chooser, this.saver,
      ...this.feedBar.opener(),
      panel
    );
  }

  /** What concerns the picture as a whole lies on it. */
  private zoomer(signal: AbortSignal): HTMLElement {
    return html(
      'div', { class: 'cntk-zoomer', role: 'toolbar', 'aria-label': 'What is seen of the graph' },
      button('−', 'Zoom out (−)', () => this.canvas.zoom(0.8), signal),
      button('+', 'Zoom in (+)', () => this.canvas.zoom(1.25), signal),
      button('1:1', 'As large as the page (1)', () => this.canvas.actual(), signal),
      button('↔', 'Fit the width', () => this.canvas.fitWidth(), signal),
      button('⤢', 'Show all', () => this.canvas.all(), signal),
      button('Full', 'Full screen', () => this.fullScreen(), signal)
    );
  }

  private fullScreen(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void this.element.requestFullscreen?.().catch(() => this.say('This page allows no full screen.'));
  }

  /** The lower border: dragged (or moved by arrow keys) it changes the height. */
  private grip(signal: AbortSignal): HTMLElement {
    const grip = html('div', { class: 'cntk-grip', role: 'separator', tabindex: 0, 'aria-orientation': 'horizontal', 'aria-label': 'Height of the graph', title: 'Drag to change the height',
      'aria-valuemin': 160, 'aria-valuemax': 2000, 'aria-valuenow': this.liked.height });
    const set = (height: number) => {
      const now = Math.round(Math.min(2000, Math.max(160, height)));
      this.element.style.setProperty('--cl-height', `${now}px`);
      grip.setAttribute('aria-valuenow', String(now));
    };
    let from: { y: number; height: number } | null = null;
    grip.addEventListener('pointerdown', event => {
      from = { y: event.clientY, height: this.body.clientHeight };
      grip.setPointerCapture(event.pointerId);
      event.preventDefault();
    }, { signal });
    grip.addEventListener('pointermove', event => {
      if (from) set(from.height + event.clientY - from.y);
    }, { signal });
    for (const end of ['pointerup', 'pointercancel'] as const)
      grip.addEventListener(end, () => {
        from = null;
      }, { signal });
    grip.addEventListener('keydown', event => {
      const step = { ArrowDown: 40, ArrowUp: -40 }[event.key];
      if (!step) return;
      event.preventDefault();
      set(this.body.clientHeight + step);
    }, { signal });
    return grip;
  }

  private async save(form: string): Promise<void> {
    const name = `${(this.graph?.name || 'graph').replace(/[^\p{L}\p{N}_.-]+/gu, '_').slice(0, 60)}.${form}`;
    try {
      if (form === 'svg') download(name, new Blob([asSvg(this.canvas)], { type: 'image/svg+xml' }));
      else if (form === 'png') download(name, await asPng(this.canvas));
      else if (form === 'pdf' && this.host.pdf) download(name, await this.host.pdf());
    } catch (error) {
      this.count.textContent = error instanceof Error ? error.message : String(error);
      this.count.classList.add('wrong');
    }
  }
}

/** Counts drawings of all views, so that a test (or a script) can wait for the next one. */
let drawings = 1;
