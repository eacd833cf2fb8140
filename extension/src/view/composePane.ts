// The whole composer: palette, canvas, form, code, problems. Knows no Jupyter: a host carries out edits and tells the state.
import { actOf, blames, HELP, openGroups, sibling, type Act, type Form, type PaletteEntry, type Problem } from '../model/compose';
import { Graph, NotAGraph, readSnapshot, titleOf } from '../model/graph';
import { Layout, type Engine } from '../model/layout';
import type { Compose } from '../protocol/messages';
import { Canvas } from './canvas';
import { ComposeCode } from './composeCode';
import { ComposeForm } from './composeForm';
import { ComposePalette } from './composePalette';
import { COMPOSE_STYLE } from './composeStyle';
import { button, html } from './dom';
import { measureWithPage } from './measure';
import { STYLE } from './theme';

export interface ComposeHost {
  /** Carry out an edit; words for the user. */
  edit(request: Omit<Compose, 'kind'>): Promise<string>;
  selected(uid: string): void;
}

export interface ComposeState {
  graph: unknown;
  source: string;
  wrong: Problem[];
  told: string;
  form: Partial<Form>;
  spans: Record<string, number[]>;
  history: string[];
}

export class ComposePane {
  readonly element: HTMLElement;
  private graph: Graph | null = null;
  private state: ComposeState | null = null;
  private selected = '';
  private connecting = '';
  private adding: 'after' | 'branch' = 'after';
  private readonly closed = new Set<string>();
  private readonly ending = new AbortController();
  private readonly layout: Layout;
  private readonly canvas: Canvas;
  private readonly palette: ComposePalette;
  private readonly form: ComposeForm;
  private readonly code: ComposeCode;
  private readonly words = html('span', { class: 'words', role: 'status' });
  private readonly foot = html('div', { class: 'cntk-foot' });
  private readonly undo: HTMLButtonElement;
  private readonly redo: HTMLButtonElement;
  private readonly fixer: HTMLButtonElement;
  private readonly help = html('div', { class: 'cntk-help', role: 'note', 'aria-label': 'Keys' });
  private work: Promise<void> = Promise.resolve();
  private fitted = false;
  private wantsFocus = false;

  constructor(
    private readonly host: ComposeHost,
    engine: Engine,
    entries: readonly PaletteEntry[]
  ) {
    const { signal } = this.ending;
    measureWithPage();
    this.layout = new Layout(engine);
    this.canvas = new Canvas({ select: uid => this.select(uid), toggle: uid => this.toggle(uid), moved: () => undefined }, signal);
    this.palette = new ComposePalette(entries, { add: path => this.add(path), leave: () => this.toCanvas() }, signal);
    this.form = new ComposeForm(
      { set: (name, text) => this.edit('set', { what: name, text }), rename: text => this.edit('rename', { text }), leave: () => this.toCanvas() },
      signal
    );
    this.code = new ComposeCode({ change: text => void this.edit('code', { nodes: [], text }), leave: () => this.toCanvas() }, signal);
    this.undo = button('Undo', 'Undo', () => this.edit('undo', { nodes: [] }), signal);
    this.redo = button('Redo', 'Redo', () => this.edit('redo', { nodes: [] }), signal);
    this.fixer = button('Fix (f)', 'Apply the fix of the first problem', () => this.act('fix'), signal);
    this.help.hidden = true;
    this.help.append(html('dl', {}, ...HELP.flatMap(([key, what]) => [html('dt', {}, key), html('dd', {}, what)])));
    this.canvas.element.append(this.help);
    this.foot.append(this.words, this.fixer);
    const bar = html(
      'div', { class: 'cntk-bar', role: 'toolbar', 'aria-label': 'Composer' },
      html('span', { class: 'cntk-name' }, 'Composer'), this.undo, this.redo,
      button('Add', 'Add behind the selected node (a)', () => this.act('palette'), signal),
      button('Remove', 'Take the selected node away (Delete)', () => this.act('remove'), signal),
      button('Group', 'Put the selected layer into a Sequential (g)', () => this.act('group'), signal),
      html('span', { class: 'cntk-gap' }),
      button('−', 'Zoom out', () => this.canvas.zoom(0.8), signal),
      button('+', 'Zoom in', () => this.canvas.zoom(1.25), signal),
      button('⤢', 'Show all', () => this.canvas.fit(), signal),
      button('Keys', 'Show or hide the keys (?)', () => this.act('help'), signal)
    );
    const side = html('div', { class: 'cntk-side' }, this.form.element, this.code.element);
    const body = html('div', { class: 'cntk-body' }, this.palette.element, this.canvas.element, side);
    this.element = html(
      'div', { class: 'cntk-lab cntk-compose', 'data-lm-suppress-shortcuts': 'true' },
      html('style', {}, STYLE + COMPOSE_STYLE), bar, body, this.foot
    );
    this.canvas.svg.addEventListener('keydown', event => this.key(event), { signal });
    this.drops(signal);
    const watch = new ResizeObserver(() => {
      if (!this.fitted && this.canvas.element.clientWidth && this.canvas.scene.width) {
        this.fitted = true;
        this.canvas.fit();
      }
    });
    watch.observe(this.canvas.element);
    signal.addEventListener('abort', () => watch.disconnect());
  }

  dispose(): void {
    this.ending.abort();
    this.element.remove();
  }

  /** Show a state of the program. */
  async setState(state: ComposeState): Promise<void> {
    this.state = state;
    this.code.show(state.source, state.wrong, state.spans[this.selected] ?? []);
    const [undo, redo] = state.history;
    this.undo.disabled = !undo;
    this.redo.disabled = !redo;
    this.undo.title = undo ? `Undo ${undo} (Ctrl+Z)` : 'Nothing to undo';
    this.redo.title = redo ? `Redo ${redo} (Ctrl+Y)` : 'Nothing to redo';
    const first = state.wrong[0];
    this.foot.classList.toggle('wrong', first !== undefined);
    this.fixer.hidden = !first;
    this.fixer.textContent = first?.fix ? `Fix (f): ${first.fix}` : 'Fix (f)';
    this.fixer.setAttribute('aria-label', first?.fix ? `Fix: ${first.fix}` : 'Fix the first problem');
    this.say(state.told);
    try {
      this.graph = new Graph(readSnapshot(state.graph));
    } catch (error) {
      this.say(error instanceof NotAGraph ? error.message : String(error));
      return;
    }
    this.form.show(state.form);
    await this.draw();
  }

  setForm(form: Partial<Form>): void {
    this.form.show(form);
  }

  setSelected(uid: string): void {
    if (uid === this.selected) return;
    this.selected = uid;
    this.mark();
    if (this.wantsFocus && uid && this.canvas.scene.boxes.has(uid)) this.canvas.focus(uid);
  }

  private say(words: string): void {
    if (this.words.textContent !== words) this.words.textContent = words;
  }

  private draw(): Promise<void> {
    this.work = this.work.then(async () => {
      const { graph } = this;
      if (!graph) return;
      try {
        const scene = await this.layout.scene(graph, graph.affordable(openGroups(graph, this.closed)));
        if (graph !== this.graph) return;
        this.canvas.show(graph, scene, '');
      } catch (error) {
        this.say(`The graph cannot be drawn: ${error instanceof Error ? error.message : String(error)}`);
        return;
      }
      if (this.canvas.element.clientWidth) this.fitted = true;
      this.canvas.settle('');
      this.mark();
      if (this.wantsFocus && this.selected && scene_has(this.canvas, this.selected)) this.canvas.focus(this.selected);
      this.wantsFocus = false;
      this.element.dataset.ready = String(drawings++);
    });
    return this.work;
  }

  /** Selection, problems and the source of a connection, on what is drawn. */
  private mark(): void {
    const { graph, state } = this;
    if (!graph || !state) return;
    this.canvas.select(graph.node.has(this.selected) ? this.selected : '');
    this.canvas.blame((from, to) => blames(graph, state.wrong, from, to));
    for (const card of this.canvas.svg.querySelectorAll<SVGGElement>('.cntk-node')) card.classList.toggle('source', card.dataset.uid === this.connecting);
    this.code.highlight(state.spans[this.selected] ?? []);
  }

  private select(uid: string): void {
    this.selected = uid;
    this.mark();
    this.host.selected(uid);
  }

  private toggle(uid: string): void {
    if (!this.closed.delete(uid)) this.closed.add(uid);
    void this.draw();
  }

  private toCanvas(): void {
    const uid = scene_has(this.canvas, this.selected) ? this.selected : (this.canvas.scene.boxes.keys().next().value ?? '');
    if (uid) this.canvas.focus(uid);
  }

  private key(event: KeyboardEvent): void {
    const uid = this.canvas.svg.contains(document.activeElement) ? ((document.activeElement as SVGElement).dataset.uid ?? '') : '';
    if (this.connecting && uid && /^[1-9]$/.test(event.key)) {
      event.preventDefault();
      this.connect(uid, Number(event.key) - 1);
      return;
    }
    if (event.key === 'Escape' && this.connecting) this.connecting = '';
    const act = actOf(event);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    if (uid && uid !== this.selected) this.select(uid);
    this.act(act);
  }

  private act(act: Act): void {
    const { graph, state, selected } = this;
    if (!graph || !state) return;
    const move = (step: 1 | -1): void => {
      const other = sibling(graph, state.spans, selected, step);
      if (other) void this.edit('move', { nodes: [selected, other], what: step === 1 ? 'after' : 'before' });
      else this.say('There is nothing to move it past.');
    };
    const acts: Record<Act, () => void> = {
      palette: () => this.open('after'),
      branch: () => this.open('branch'),
      remove: () => void this.edit('remove'),
      undo: () => void this.edit('undo', { nodes: [] }),
      redo: () => void this.edit('redo', { nodes: [] }),
      copy: () => void this.edit('copy'),
      paste: () => void this.edit('paste', { what: 'after' }),
      up: () => move(-1),
      down: () => move(1),
      group: () => void this.edit('group', { what: 'Sequential' }),
      repeat: () => void this.edit('group', { what: 'For' }),
      shortcut: () => void this.edit('group', { what: 'ResNetBlock' }),
      ungroup: () => void this.edit('ungroup'),
      fix: () => void this.edit('fix', { nodes: state.wrong.some(p => p.node === selected) ? [selected] : [] }),
      form: () => this.form.focus(),
      code: () => this.code.focus(),
      connect: () => this.connect(selected, 0),
      next: () => this.next(),
      help: () => {
        this.help.hidden = !this.help.hidden;
      }
    };
    const needs: Act[] = ['remove', 'copy', 'group', 'repeat', 'shortcut', 'ungroup', 'connect', 'up', 'down', 'branch'];
    if (needs.includes(act) && !selected) this.say('Select a node first: click it, or go to it with the arrow keys.');
    else acts[act]();
  }

  private open(adding: 'after' | 'branch'): void {
    this.adding = adding;
    const node = this.graph?.node.get(this.selected);
    const where = node ? `${adding === 'after' ? 'behind' : 'reading'} ${node.name || titleOf(node)}` : 'at the end';
    this.palette.focus(`Add ${where}`);
  }

  private add(path: string): void {
    const leaf = path.endsWith('input_variable');
    void this.edit('add', { nodes: this.selected && !leaf ? [this.selected] : [], what: this.adding, text: path });
    this.adding = 'after';
  }

  private connect(uid: string, port: number): void {
    if (!this.connecting) {
      this.connecting = uid;
      this.say('Connect: go to the node that is to read this value, then press c, or 1, 2, … for the operand.');
      this.mark();
      return;
    }
    const source = this.connecting;
    this.connecting = '';
    if (source === uid) this.mark();
    else void this.edit('connect', { nodes: [source, uid], port });
  }

  private next(): void {
    const wrong = this.state?.wrong ?? [];
    if (!wrong.length) {
      this.say('Nothing is wrong.');
      return;
    }
    const at = wrong.findIndex(p => p.node === this.selected);
    const node = wrong[(at + 1) % wrong.length]!.node;
    this.select(node);
    if (scene_has(this.canvas, node)) {
      this.canvas.reveal(node);
      this.canvas.focus(node);
    }
  }

  /** Ask for an edit; what is wrong with it is said. */
  private async edit(action: Compose['action'], more: Partial<Compose> = {}): Promise<void> {
    const typing = this.code.element.contains(document.activeElement) || this.form.element.contains(document.activeElement);
    this.wantsFocus = !typing;
    try {
      const told = await this.host.edit({ action, nodes: this.selected ? [this.selected] : [], what: '', text: '', port: 0, ...more });
      await this.work;
      this.say(told);
      if (!typing) this.toCanvas();
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error));
      if (!typing) this.toCanvas();
    }
  }

  private drops(signal: AbortSignal): void {
    const { element } = this.canvas;
    const uidAt = (target: EventTarget | null) => (target instanceof Element ? (target.closest<SVGGElement>('.cntk-node')?.dataset.uid ?? '') : '');
    element.addEventListener('dragover', event => {
      event.preventDefault();
      element.classList.add('dropping');
    }, { signal });
    element.addEventListener('dragleave', () => element.classList.remove('dropping'), { signal });
    element.addEventListener('drop', event => {
      event.preventDefault();
      element.classList.remove('dropping');
      const path = event.dataTransfer?.getData('application/x-cntk-layer') ?? '';
      const uid = uidAt(event.target);
      if (!path) return;
      const group = this.graph?.node.get(uid)?.kind === 'group';
      void this.edit('add', { nodes: uid ? [uid] : [], what: group ? 'into' : 'after', text: path });
    }, { signal });
  }
}

function scene_has(canvas: Canvas, uid: string): boolean {
  return canvas.scene.boxes.has(uid);
}

/** Counts drawings, so that a test can wait for the next one. */
let drawings = 1;
