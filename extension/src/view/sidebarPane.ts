// The list of models and runs: headings, rows that are buttons, words where there is nothing. Knows no Jupyter.
import type { Inventory, ModelLine, RunLine } from '../model/inventory';
import { brief } from '../model/series';
import { html } from './dom';
import { STYLE } from './theme';

export interface SidebarHost {
  model(line: ModelLine): void;
  run(line: RunLine): void;
  refresh(): void;
}

const NO_MODELS = 'No models yet. A Function that has a name in the notebook is listed here, as z = Dense(3)(x).';
const NO_RUNS = 'No runs yet. Start one with lab.train(…).';

export class SidebarPane {
  readonly element: HTMLElement;
  private readonly whose = html('div', { class: 'whose' });
  private readonly words = html('p', { class: 'words', role: 'status' });
  private readonly models = html('ul', { 'aria-label': 'Models' });
  private readonly runs = html('ul', { 'aria-label': 'Runs' });
  private readonly noModels = html('p', { class: 'none' }, NO_MODELS);
  private readonly noRuns = html('p', { class: 'none' }, NO_RUNS);
  private readonly rest = html('p', { class: 'none' });
  private readonly lists: HTMLElement;
  private readonly ending = new AbortController();
  private readonly rows = new Map<string, { element: HTMLButtonElement; key: string }>();

  constructor(private readonly host: SidebarHost) {
    const { signal } = this.ending;
    const again = html('button', { type: 'button', title: 'Ask the kernel again', 'aria-label': 'Refresh' }, '⟳');
    again.addEventListener('click', () => this.host.refresh(), { signal });
    this.lists = html('div', { class: 'lists' },
      html('h3', {}, 'Models'), this.models, this.noModels, html('h3', {}, 'Runs'), this.runs, this.noRuns, this.rest);
    this.element = html('div', { class: 'cntk-lab cntk-sidebar', 'data-lm-suppress-shortcuts': 'true' },
      html('style', {}, STYLE + SIDEBAR_STYLE), html('div', { class: 'head' }, this.whose, again), this.words, this.lists);
    this.element.addEventListener('keydown', event => this.key(event), { signal });
    this.say('');
  }

  dispose(): void {
    this.ending.abort();
    this.element.remove();
  }

  /** Whose models and runs these are. */
  title(words: string): void {
    this.whose.textContent = words;
    this.whose.title = words;
  }

  /** Words above the lists; `only`: there is nothing to list. */
  say(words: string, only = false): void {
    if (this.words.textContent !== words) this.words.textContent = words;
    this.words.hidden = !words;
    this.lists.hidden = only;
  }

  show(inventory: Inventory): void {
    this.fill(this.models, inventory.models, modelRow, line => this.host.model(line), 'm');
    this.noModels.hidden = inventory.models.length > 0;
    this.rest.textContent = inventory.more ? `and ${inventory.more} more` : '';
    this.rest.hidden = !inventory.more;
    this.showRuns(inventory.runs);
  }

  showRuns(runs: readonly RunLine[]): void {
    this.fill(this.runs, runs, runRow, line => this.host.run(line), 'r');
    this.noRuns.hidden = runs.length > 0;
  }

  /** Put rows in place; a row that is the same stays the same element, so that the focus stays. */
  private fill<L extends { number: number }>(list: HTMLElement, lines: readonly L[], row: (line: L) => HTMLElement[], act: (line: L) => void, kind: string): void {
    const gone = new Set([...this.rows.keys()].filter(key => key.startsWith(kind)));
    lines.forEach((line, i) => {
      const name = `${kind}${line.number}`;
      gone.delete(name);
      let known = this.rows.get(name);
      if (!known) {
        const element = html('button', { type: 'button', 'data-row': name });
        known = { element, key: '' };
        this.rows.set(name, known);
        element.addEventListener('click', () => act(line), { signal: this.ending.signal });
      }
      const key = JSON.stringify(line);
      if (known.key !== key) {
        known.key = key;
        known.element.replaceChildren(...row(line));
      }
      const item = known.element.parentElement ?? html('li', {}, known.element);
      if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
    });
    for (const name of gone) {
      this.rows.get(name)?.element.parentElement?.remove();
      this.rows.delete(name);
    }
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = [...this.lists.querySelectorAll<HTMLButtonElement>('button')];
    const at = rows.indexOf(document.activeElement as HTMLButtonElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    rows[Math.min(rows.length - 1, Math.max(0, to))]?.focus();
  }
}

function modelRow(line: ModelLine): HTMLElement[] {
  const under = [line.kind, ...(line.name && !line.names.includes(line.name) ? [`“${line.name}”`] : [])].join(' ');
  const parameters = line.parameters === null ? 'not applied yet' : `${line.parameters.toLocaleString('en')} parameter${line.parameters === 1 ? '' : 's'}`;
  const axes = line.axes.map(axis => html('span', { class: 'axis' }, axis));
  return [
    html('span', { class: 'name' }, line.names.join(', ')),
    html('span', { class: 'more' }, `${under}, ${parameters}`),
    html('span', { class: 'more' }, html('span', { 'aria-hidden': 'true' }, '→ '), html('span', { class: 'hidden' }, 'gives '), ...axes.flatMap(axis => [axis, ' ']), line.shape)
  ];
}

function runRow(line: RunLine): HTMLElement[] {
  const facts = [`step ${line.step.toLocaleString('en')}`];
  if (line.loss !== null) facts.push(`loss ${brief(line.loss)}`);
  if (line.metric !== null) facts.push(`metric ${brief(line.metric)}`);
  const parts = [
    html('span', { class: 'name' }, line.name, ' ', html('span', { class: `cntk-status ${line.status}` }, line.status)),
    html('span', { class: 'more numbers' }, facts.join(', '))
  ];
  if (line.progress !== null && line.status !== 'finished') parts.push(html('progress', { max: 1, value: line.progress, 'aria-label': 'Progress' }));
  return parts;
}

const SIDEBAR_STYLE = `
.cntk-lab.cntk-sidebar { height: 100%; border: none; border-radius: 0; overflow: auto; }
.cntk-sidebar .head { display: flex; align-items: center; gap: 6px; padding: 6px 6px 6px 12px; border-bottom: 1px solid var(--cl-line); }
.cntk-sidebar .whose { flex: 1; font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.cntk-sidebar [hidden] { display: none; }
.cntk-sidebar .words, .cntk-sidebar .none { margin: 0; padding: 6px 12px; color: var(--cl-quiet); overflow-wrap: anywhere; }
.cntk-sidebar .words { background: var(--cl-open); border-bottom: 1px solid var(--cl-line); }
.cntk-sidebar h3 { margin: 0; padding: 10px 12px 4px; font-size: 12px; font-weight: 600; color: var(--cl-quiet); }
.cntk-sidebar ul { list-style: none; margin: 0; padding: 0; }
.cntk-sidebar li button { display: flex; flex-direction: column; width: 100%; text-align: left; border: none; border-radius: 0; background: none; padding: 4px 12px 6px; }
.cntk-sidebar li button:hover { background: var(--cl-block); }
.cntk-sidebar li button:focus-visible { outline-offset: -2px; }
.cntk-sidebar .name { font-weight: 600; overflow-wrap: anywhere; }
.cntk-sidebar .more { font-size: 12px; color: var(--cl-quiet); overflow-wrap: anywhere; }
.cntk-sidebar .numbers { font-variant-numeric: tabular-nums; }
.cntk-sidebar .axis { color: var(--cl-axis-0); font-weight: 600; }
.cntk-sidebar .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.cntk-sidebar .cntk-status { margin-left: 4px; border-radius: 10px; padding: 0 7px; font-size: 11px; font-weight: 600; background: var(--cl-block); color: var(--cl-text); }
.cntk-sidebar .cntk-status.running { background: var(--cl-input); }
.cntk-sidebar .cntk-status.paused { background: var(--cl-match); }
.cntk-sidebar .cntk-status.failed { background: var(--cl-alarm-back); color: var(--cl-alarm); }
.cntk-sidebar progress { appearance: none; width: 100%; height: 5px; margin-top: 4px; border: none; border-radius: 3px; overflow: hidden; background: var(--cl-block); }
.cntk-sidebar progress::-webkit-progress-bar { background: var(--cl-block); }
.cntk-sidebar progress::-webkit-progress-value { background: var(--cl-brand); }
.cntk-sidebar progress::-moz-progress-bar { background: var(--cl-brand); }
`;
