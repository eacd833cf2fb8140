// The whole composer: palette, canvas, form, code, problems. Knows no Jupyter: a host carries out edits and tells the state.
import { actOf, blames, costWords, HELP, openGroups, sibling, type Act, type Cost, type Form, type PaletteEntry, type Problem, type Template } from '../model/compose';
import { axisName, Graph, NotAGraph, readSnapshot, shapeText, short, titleOf } from '../model/graph';
import { Layout, type Engine } from '../model/layout';
import type { Compose } from '../protocol/messages';
import { Canvas } from './canvas';
import { ComposeCode } from './composeCode';
import { ComposeFiles } from './composeFiles';
import { ComposeForm } from './composeForm';
import { ComposeHands } from './composeHands';
import { ComposeMenu, type MenuItem } from './composeMenu';
import { ComposePalette } from './composePalette';
import { ComposeStart } from './composeStart';
import { COMPOSE_STYLE } from './composeStyle';
import { button, html, svg } from './dom';
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
  costs: Record<string, Cost>;
  total: Partial<Cost>;
  unused: string[];
}

export class ComposePane {
  readonly element: HTMLElement;
  private graph: Graph | null = null;
  private state: ComposeState | null = null;
  private selected = '';
  private connecting = '';
  private adding: 'after' | 'before' | 'branch' = 'after';
  /** Nodes that are selected together with `selected`. */
  private readonly picked = new Set<string>();
  private readonly groups: ReadonlyMap<string, string>;
  private readonly closed = new Set<string>();
  private readonly ending = new AbortController();
  private readonly layout: Layout;
  private readonly canvas: Canvas;
  private readonly palette: ComposePalette;
  private readonly form: ComposeForm;
  private readonly code: ComposeCode;
  private readonly hands: ComposeHands;
  private readonly menu: ComposeMenu;
  private readonly start: ComposeStart;
  private readonly files: ComposeFiles;
  private readonly total = html('div', { class: 'cntk-total' });
  private readonly words = html('span', { class: 'words', role: 'status' });
  private readonly foot = html('div', { class: 'cntk-foot' });
  private readonly undo: HTMLButtonElement;
  private readonly redo: HTMLButtonElement;
  private readonly fixer: HTMLButtonElement;
  private readonly remover: HTMLButtonElement;
  private readonly help = html('div', { class: 'cntk-help', role: 'note', 'aria-label': 'Keys' });
  private work: Promise<void> = Promise.resolve();
  private fitted = false;
  private wantsFocus = false;
  /** The user chose to begin with nothing. */
  private begun = false;

  constructor(
    private readonly host: ComposeHost,
    engine: Engine,
    entries: readonly PaletteEntry[],
    templates: readonly Template[]
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
    this.remover = button('Delete (x)', 'Repair by deleting', () => this.act('delete'), signal);
    this.groups = new Map(entries.flatMap(entry => [[entry.name, entry.group], [entry.path, entry.group]] as const));
    this.menu = new ComposeMenu(signal);
    this.start = new ComposeStart(templates, name => this.begin(name), () => this.began(), signal);
    this.files = new ComposeFiles({
      save: (name, replace) => this.host.edit({ ...NOTHING, action: 'save', text: name, what: replace ? 'replace' : '' }),
      open: async name => {
        this.canvas.fit();
        return this.host.edit({ ...NOTHING, action: 'open', text: name });
      },
      leave: () => this.toCanvas()
    }, signal);
    this.hands = new ComposeHands(this.canvas, {
      graph: () => this.graph,
      pick: (uids, add) => this.pick(uids, add),
      connect: (source, target, port) => void this.edit('connect', { nodes: [source, target], port }),
      drop: (path, on) => this.drop(path, on),
      menu: (uid, x, y) => this.showMenu(uid, x, y)
    }, signal);
    this.help.hidden = true;
    this.help.append(html('dl', {}, ...HELP.flatMap(([key, what]) => [html('dt', {}, key), html('dd', {}, what)])));
    this.canvas.element.append(this.start.element, this.help, this.menu.element);
    this.foot.append(this.words, this.fixer, this.remover, this.total);
    const together = (...parts: HTMLElement[]) => html('span', { class: 'cntk-together' }, ...parts);
    const bar = html(
      'div', { class: 'cntk-bar', role: 'toolbar', 'aria-label': 'Composer' },
      html('span', { class: 'cntk-name' }, 'Composer'),
      together(
        button('New', 'Networks to begin with', () => this.start.show(this.start.element.hidden, true), signal),
        button('Open', 'Open a program or a model file', () => this.files.open('open'), signal),
        button('Save', 'Save the program, or the network with its weights', () => this.files.open('save'), signal),
        button('Train', 'Put a cell below that trains the network and shows the monitor', () => void this.train(), signal)
      ),
      together(this.undo, this.redo),
      together(
        button('Add', 'Add behind the selected node (a)', () => this.act('palette'), signal),
        button('Duplicate', 'Duplicate the selected layers (Ctrl+D)', () => this.act('duplicate'), signal),
        button('Group', 'Put the selected layers into a Sequential (g)', () => this.act('group'), signal),
        button('Delete', 'Take the selected nodes away (Delete)', () => this.act('remove'), signal)
      ),
      html('span', { class: 'cntk-gap' }),
      together(
        button('−', 'Zoom out', () => this.canvas.zoom(0.8), signal),
        button('+', 'Zoom in', () => this.canvas.zoom(1.25), signal),
        button('⤢', 'Show all', () => this.canvas.fit(), signal),
        button('Keys', 'Show or hide the keys (?)', () => this.act('help'), signal)
      )
    );
    const side = html('div', { class: 'cntk-side' }, this.form.element, this.code.element);
    const body = html('div', { class: 'cntk-body' }, this.palette.element, this.canvas.element, side);
    this.element = html(
      'div', { class: 'cntk-lab cntk-compose', 'data-lm-suppress-shortcuts': 'true' },
      html('style', {}, STYLE + COMPOSE_STYLE), bar, this.files.element, body, this.foot
    );
    this.canvas.svg.addEventListener('keydown', event => this.key(event), { signal });
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
    this.offer(this.fixer, 'Fix (f)', first?.fix ?? '');
    this.offer(this.remover, 'Or (x)', first?.removal ?? '');
    this.say(state.told);
    try {
      const snapshot = readSnapshot(state.graph);
      for (const node of snapshot.nodes) node.extra = costWords(state.costs[node.id]);
      this.graph = new Graph(snapshot);
    } catch (error) {
      this.say(error instanceof NotAGraph ? error.message : String(error));
      return;
    }
    this.setForm(state.form);
    const [layers, total] = [this.graph.snapshot.nodes.filter(node => node.kind === 'function').length, costWords({ parameters: 0, operations: 0, bytes: 0, ...state.total })];
    this.total.textContent = [`${layers} layer${layers === 1 ? '' : 's'}`, total, state.total.bytes ? `${short(state.total.bytes)}B for a sample` : ''].filter(Boolean).join(' · ');
    if (layers === 0 && state.wrong.length === 0 && !this.begun) this.start.show(true);
    else if (layers > 0) this.start.show(false);
    await this.draw();
  }

  setForm(form: Partial<Form>): void {
    const node = form.node ? this.graph?.node.get(form.node) : undefined;
    const shape = node && `gives ${[...node.axes.map(axisName), shapeText(node.shape)].join(' ')}`;
    this.form.show(form, [shape, node && costWords(this.state?.costs[node.id])].filter(Boolean).join(' · '));
  }

  /** A button that says what it would do; without that it is not there. */
  private offer(element: HTMLButtonElement, key: string, words: string): void {
    element.hidden = !words;
    element.textContent = `${key}: ${words}`;
    element.title = words;
    element.setAttribute('aria-label', `${key}: ${words}`);
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
        this.hands.dress(graph);
      } catch (error) {
        this.say(`The graph cannot be drawn: ${error instanceof Error ? error.message : String(error)}`);
        return;
      }
      if (this.canvas.element.clientWidth) this.fitted = true;
      this.canvas.settle('');
      this.mark();
      if (this.wantsFocus && this.selected && scene_has(this.canvas, this.selected)) {
        this.canvas.focus(this.selected);
        this.reveal();
      }
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
    for (const uid of this.picked) if (!graph.node.has(uid)) this.picked.delete(uid);
    const unused = new Set(state.unused);
    for (const card of this.canvas.svg.querySelectorAll<SVGGElement>('.cntk-node')) {
      const uid = card.dataset.uid ?? '';
      const node = graph.node.get(uid);
      card.classList.toggle('source', uid === this.connecting);
      card.classList.toggle('picked', this.picked.has(uid));
      if (!node) continue;
      this.remark(card, 'unused', unused.has(uid), 'not part of the model');
      this.remark(card, 'result', graph.outputs.has(uid), 'output of the model');
      card.dataset.group = node.kind === 'function' || node.kind === 'block' ? (this.groups.get(node.op) ?? '') : '';
    }
    this.code.highlight(state.spans[this.selected] ?? []);
  }

  /** Mark a card with a class, with words below it, and for screen readers. */
  private remark(card: SVGGElement, kind: string, on: boolean, words: string): void {
    if (card.classList.contains(kind) === on) return;
    card.classList.toggle(kind, on);
    const label = card.getAttribute('aria-label') ?? '';
    card.setAttribute('aria-label', on ? `${label}, ${words}` : label.replace(`, ${words}`, ''));
    card.querySelector(`:scope > .remark.${kind}`)?.remove();
    const box = this.canvas.scene.boxes.get(card.dataset.uid ?? '');
    if (on && box && !box.open) card.append(svg('text', { class: `remark ${kind}`, x: box.width / 2, y: box.height + 11, 'text-anchor': 'middle', 'aria-hidden': true }, kind === 'result' ? 'output' : words));
  }

  private pick(uids: string[], add: boolean): void {
    if (!add) this.picked.clear();
    else if (this.selected) this.picked.add(this.selected);
    if (uids.length === 1 && add && this.picked.has(uids[0]!) && this.picked.size > 1) this.picked.delete(uids[0]!);
    else for (const uid of uids) this.picked.add(uid);
    const last = uids.find(uid => this.picked.has(uid)) ?? [...this.picked].at(-1) ?? '';
    this.selected = last;
    this.mark();
    this.host.selected(last);
    if (this.picked.size > 1) this.say(`${this.picked.size} nodes are selected.`);
  }

  /** The nodes that a command is for. */
  private chosen(): string[] {
    return this.picked.size > 1 ? [...this.picked] : this.selected ? [this.selected] : [];
  }

  private begin(name: string): void {
    this.begun = true;
    this.start.show(false);
    this.canvas.fit();
    void this.edit('begin', { nodes: [], text: name });
  }

  private began(): void {
    this.begun = true;
    this.start.show(false);
    this.toCanvas();
  }

  private drop(path: string, on: { node?: string; edge?: [string, string]; branch: boolean }): void {
    if (on.branch && on.node) {
      void this.edit('add', { nodes: [on.node], what: 'branch', text: path });
      return;
    }
    if (on.edge && !path.endsWith('input_variable')) {
      void this.edit('insert', { nodes: on.edge, text: path });
      return;
    }
    const group = this.graph?.node.get(on.node ?? '')?.kind === 'group';
    void this.edit('add', { nodes: on.node ? [on.node] : [], what: group ? 'into' : 'after', text: path });
  }

  private select(uid: string): void {
    this.picked.clear();
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
      remove: () => void this.edit('remove', { nodes: this.chosen() }),
      duplicate: () => void this.edit('duplicate', { nodes: this.chosen() }),
      all: () => this.pick([...graph.node.values()].filter(node => node.kind === 'function').map(node => node.id), false),
      delete: () => void this.edit('fix', { nodes: state.wrong.some(p => p.node === selected) ? [selected] : [], what: 'deleting' }),
      menu: () => this.showMenu(selected, 8, 8),
      undo: () => void this.edit('undo', { nodes: [] }),
      redo: () => void this.edit('redo', { nodes: [] }),
      copy: () => void this.copy(),
      paste: () => void this.paste(),
      up: () => move(-1),
      down: () => move(1),
      group: () => void this.edit('group', { nodes: this.chosen(), what: 'Sequential' }),
      repeat: () => void this.edit('group', { nodes: this.chosen(), what: 'For' }),
      shortcut: () => void this.edit('group', { nodes: this.chosen(), what: 'ResNetBlock' }),
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
    const needs: Act[] = ['remove', 'copy', 'duplicate', 'group', 'repeat', 'shortcut', 'ungroup', 'connect', 'up', 'down', 'branch'];
    if (needs.includes(act) && !selected) this.say('Select a node first: click it, or go to it with the arrow keys.');
    else acts[act]();
  }

  /** Copy as Python text, to the clipboard of the page too, so that it can be pasted into programs and other composers. */
  private async copy(): Promise<void> {
    try {
      const text = await this.host.edit({ ...NOTHING, action: 'copy', nodes: this.chosen() });
      await navigator.clipboard?.writeText(text).catch(() => undefined);
      this.say(`copied ${text.replaceAll('\n', ' ')}`);
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error));
    }
  }

  private async paste(): Promise<void> {
    const text = await (navigator.clipboard?.readText().catch(() => '') ?? '');
    await this.edit('paste', { what: 'after', text: text.includes('C.') ? text : '' });
  }

  /** A cell that trains the network: the notebook puts it below and runs it; elsewhere it is copied. */
  private async train(): Promise<void> {
    try {
      const source = await this.host.edit({ ...NOTHING, action: 'train' });
      const asked = new CustomEvent('cntk-lab-cell', { bubbles: true, composed: true, cancelable: true, detail: { source } });
      if (!this.element.dispatchEvent(asked)) this.say('A cell below trains the network.');
      else {
        await navigator.clipboard?.writeText(source).catch(() => undefined);
        this.say('Code that trains the network was copied: paste it into a cell.');
      }
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error));
    }
  }

  /** Bring the selected node into sight, if it is not. */
  private reveal(): void {
    const card = this.canvas.svg.querySelector<SVGGElement>(`.cntk-node[data-uid="${CSS.escape(this.selected)}"]`)?.getBoundingClientRect();
    const pane = this.canvas.element.getBoundingClientRect();
    if (card && (card.top < pane.top || card.bottom > pane.bottom || card.left < pane.left || card.right > pane.right)) this.canvas.reveal(this.selected);
  }

  private showMenu(uid: string, x: number, y: number): void {
    const { graph, state } = this;
    if (!graph || !state) return;
    if (uid && !this.picked.has(uid)) this.select(uid);
    const node = graph.node.get(uid);
    const item = (words: string, key: string, act: Act, not = ''): MenuItem => ({ words, key, not, act: () => this.act(act) });
    const group = node?.kind === 'group';
    const items: MenuItem[] = node
      ? [
          item('Add behind it …', 'a', 'palette'),
          item('Add a branch that reads it …', 'b', 'branch'),
          item('Connect to …', 'c', 'connect'),
          item('Edit parameters', 'e', 'form'),
          item('Duplicate', 'Ctrl+D', 'duplicate', node.kind === 'input' ? 'an input has a name of its own: add another one' : ''),
          item('Copy', 'Ctrl+C', 'copy'),
          item('Paste behind it', 'Ctrl+V', 'paste'),
          item('Group', 'g', 'group', node.kind === 'function' ? '' : 'only layers can be grouped'),
          item('Repeat', 'r', 'repeat', node.kind === 'function' || group ? '' : 'only layers can be repeated'),
          item('Put a shortcut around', 's', 'shortcut', node.kind === 'function' || group ? '' : 'only layers can have a shortcut'),
          item('Ungroup', 'u', 'ungroup', group ? '' : 'this is no group'),
          item('Delete', 'Delete', 'remove')
        ]
      : [
          { words: 'Add a layer …', key: 'a', act: () => this.act('palette') },
          { words: 'Add an input', act: () => void this.edit('add', { nodes: [], text: 'input_variable' }) },
          item('Paste at the end', 'Ctrl+V', 'paste'),
          item('Select all layers', 'Ctrl+A', 'all'),
          item('Undo', 'Ctrl+Z', 'undo', state.history[0] ? '' : 'nothing to undo'),
          { words: 'Show all', key: '0', act: () => this.canvas.fit() },
          { words: 'Begin with a network …', act: () => this.start.show(true, true) }
        ];
    const many = this.picked.size > 1 ? `${this.picked.size} nodes` : node ? node.name || titleOf(node) : 'the canvas';
    this.menu.open(`What can be done with ${many}`, items, x, y, () => this.toCanvas());
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
      const told = await this.host.edit({ ...NOTHING, action, nodes: this.selected ? [this.selected] : [], ...more });
      await this.work;
      this.say(told);
      if (!typing) this.toCanvas();
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error));
      if (!typing) this.toCanvas();
    }
  }
}

const NOTHING: Omit<Compose, 'kind' | 'action'> = { nodes: [], what: '', text: '', port: 0 };

function scene_has(canvas: Canvas, uid: string): boolean {
  return canvas.scene.boxes.has(uid);
}

/** Counts drawings, so that a test can wait for the next one. */
let drawings = 1;
