// The whole training monitor: buttons, progress, charts, rates, the doctor's words. Knows no Jupyter: a host acts.
import { onPreferences, preferences } from '../model/preferences';
import { bytes, clock, Series, smoothed, type Numbers } from '../model/series';
import type { Act, SetRate } from '../protocol/messages';
import { Chart, type ChartHost, type Curve, type Marks } from './chart';
import { button, html } from './dom';
import { MONITOR_STYLE } from './monitorStyle';
import { STYLE } from './theme';
import type { RunState, Details } from '../protocol/state';

export type { RunState, Details } from '../protocol/state';

const NONE: Details = { validation: [], changes: [], findings: [] };

export interface Settings {
  current: number;
  smoothing: string;
  logarithmic: boolean;
  at: string;
  notice: string;
}

export interface MonitorHost {
  act(run: number, action: Act['action'], step: number): Promise<string>;
  set(run: number, what: SetRate['what'], value: number): Promise<string>;
  /** Whether a kernel can do what buttons ask for. */
  readonly live: boolean;
}

const COLOURS = ['--cl-brand', '--cl-axis-1', '--cl-axis-0', '--cl-axis-2', '--cl-axis-3', '--cl-axis-5'];
const TITLES = { loss: 'Loss', metric: 'Metric' } as const;
let panes = 0;

export class MonitorPane {
  readonly element: HTMLElement;
  private readonly ending = new AbortController();
  private readonly series = new Map<number, Series>();
  private runs: (RunState & Details)[] = [];
  private current = 0;
  private main: number | undefined;
  private chosen: number | null = null;
  private waiting = false;
  /** When the curves were drawn last, and how often they were. */
  private drawnAt = -Infinity;
  private drawings = 0;
  private liked = preferences().monitor;
  private shownStatus = '';

  private readonly chooser = html('select', { 'aria-label': 'Run that the buttons are for' });
  private readonly status = html('span', { class: 'cntk-status', role: 'status' });
  private readonly buttons: Record<'go' | 'step' | 'stop' | 'rewind' | 'fork' | 'keep' | 'find', HTMLButtonElement>;
  private readonly bar = html('progress', { max: 1, 'aria-label': 'Progress of the run' });
  private readonly facts = html('div', { class: 'cntk-facts' });
  private readonly rate = html('input', { type: 'text', inputmode: 'decimal', spellcheck: 'false', 'aria-label': 'Learning rate' });
  private readonly momentum = html('input', { type: 'text', inputmode: 'decimal', spellcheck: 'false', 'aria-label': 'Momentum' });
  private readonly momentumLabel = html('label', {}, 'momentum ', this.momentum);
  private readonly smoothing = html('input', { type: 'range', min: 0, max: 0.99, step: 0.01, value: preferences().monitor.smoothing, 'aria-label': 'Smoothing of the curves' });
  private readonly logarithmic = html('input', { type: 'checkbox', 'aria-label': 'Logarithmic scale', checked: preferences().monitor.logarithmic });
  private readonly at = html('input', { type: 'number', min: 0, step: 1, 'aria-label': 'Step to go back to' });
  private readonly charts: { loss: Chart; metric: Chart };
  private readonly findings = html('ul', { class: 'cntk-findings', 'aria-label': 'What the doctor found', 'aria-live': 'polite' });
  private readonly notice = html('div', { class: 'cntk-notice', role: 'status' });

  constructor(private readonly host: MonitorHost) {
    const { signal } = this.ending;
    const act = (action: Act['action'], step: () => number = () => 1) => () => void this.tell(this.host.act(this.current, action, step()));
    const there = () => (this.at.value === '' ? (this.now?.step ?? 0) : Math.max(0, Math.round(Number(this.at.value))));
    this.buttons = {
      go: button('Pause', 'Pause or resume (Space)', () => this.go(), signal),
      step: button('Step', 'Do one minibatch and hold', act('step'), signal),
      stop: button('Stop', 'Stop before the next minibatch', act('stop'), signal),
      rewind: button('Rewind', 'Go back to this step, exactly', act('rewind', there), signal),
      fork: button('Fork', 'A second run from this step, drawn beside this one', act('fork', there), signal),
      keep: button('Keep', 'Keep the present state to go back to', act('checkpoint'), signal),
      find: button('Find rate', 'Try rising learning rates and suggest one; everything is put back', act('rate'), signal)
    };
    this.buttons.go.classList.add('main');
    // the words on the buttons are their names; the title describes them
    for (const element of Object.values(this.buttons)) element.removeAttribute('aria-label');
    const pointer: ChartHost = {
      choose: step => this.choose(step),
      hover: step => {
        this.charts.loss.fill(step);
        this.charts.metric.fill(step);
      }
    };
    const group = String(++panes);
    this.charts = { loss: new Chart(TITLES.loss, pointer, group, signal), metric: new Chart(TITLES.metric, pointer, group, signal) };
    this.charts.metric.element.hidden = true;
    const zoom = button('All steps', 'Show all steps again (after dragging over a part)', () => {
      this.charts.loss.reset();
      this.charts.metric.reset();
    }, signal);
    const top = html('div', { class: 'cntk-bar', role: 'toolbar', 'aria-label': 'Training' },
      this.buttons.go, this.buttons.step, this.buttons.stop, this.chooser, this.status, html('span', { class: 'cntk-gap' }),
      html('label', {}, 'learning rate ', this.rate), this.momentumLabel);
    const looks = html('div', { class: 'cntk-bar cntk-foot', role: 'toolbar', 'aria-label': 'Curves and steps' },
      html('label', {}, 'smoothing ', this.smoothing), html('label', {}, this.logarithmic, ' log scale'), zoom, html('span', { class: 'cntk-gap' }),
      html('label', {}, 'step ', this.at), this.buttons.rewind, this.buttons.fork, this.buttons.keep, this.buttons.find);
    this.element = html('div', { class: 'cntk-lab cntk-monitor', 'data-lm-suppress-shortcuts': 'true' }, html('style', {}, STYLE + MONITOR_STYLE), top,
      html('div', { class: 'cntk-progress' }, this.bar, this.facts), this.findings,
      html('div', { class: 'cntk-charts' }, this.charts.loss.element, this.charts.metric.element), looks, this.notice);
    this.chooser.addEventListener('change', () => {
      this.current = Number(this.chooser.value);
      this.show();
    }, { signal });
    for (const input of [this.smoothing, this.logarithmic]) input.addEventListener('input', () => this.draw(true), { signal });
    this.at.addEventListener('input', () => this.choose(this.at.value === '' ? null : Number(this.at.value), false), { signal });
    this.field(this.rate, 'learning_rate', signal);
    this.field(this.momentum, 'momentum', signal);
    this.element.addEventListener('keydown', event => {
      if (event.key === ' ' && !(event.target instanceof HTMLInputElement || event.target instanceof HTMLButtonElement || event.target instanceof HTMLSelectElement)) {
        event.preventDefault();
        this.go();
      }
    }, { signal });
    onPreferences(() => {
      const before = this.liked;
      this.liked = preferences().monitor;
      if (before.smoothing !== this.liked.smoothing) this.smoothing.value = String(this.liked.smoothing);
      if (before.logarithmic !== this.liked.logarithmic) this.logarithmic.checked = this.liked.logarithmic;
      this.draw(true);
    }, signal);
    // a dark theme that comes later colours the canvases anew
    // (twice: the theme's own style sheet arrives after its name)
    const recolour = () => {
      if (signal.aborted) return;
      this.charts.loss.redraw();
      this.charts.metric.redraw();
    };
    const theme = new MutationObserver(() => {
      setTimeout(recolour, 30);
      setTimeout(recolour, 500);
    });
    theme.observe(document.body, { attributes: true, attributeFilter: ['data-jp-theme-light', 'class'] });
    signal.addEventListener('abort', () => theme.disconnect());
  }

  dispose(): void {
    this.ending.abort();
    this.element.remove();
  }

  /** What the kernel tells of the runs. */
  setRuns(states: readonly RunState[], details: Readonly<Record<string, Details>>): void {
    const runs = states.map(state => ({ ...state, ...(details[String(state.number)] ?? NONE) }));
    const main = runs.find(run => run.main)?.number;
    this.runs = runs;
    // a fork takes the buttons; a run that is only compared does not
    if (main !== undefined && main !== this.main) this.main = this.current = main;
    this.show();
  }

  /** A piece of a run's curves. */
  take(run: number, width: number, first: number, values: Numbers): void {
    let series = this.series.get(run);
    if (!series) {
      series = new Series();
      this.series.set(run, series);
    }
    series.take(width, first, values);
    this.draw();
  }

  /** What the user has set in the view, to be given to a view that takes its place. */
  get settings(): Settings {
    return { current: this.current, smoothing: this.smoothing.value, logarithmic: this.logarithmic.checked, at: this.at.value, notice: this.notice.textContent ?? '' };
  }

  set settings(kept: Settings) {
    this.current = kept.current;
    this.smoothing.value = kept.smoothing;
    this.logarithmic.checked = kept.logarithmic;
    this.at.value = kept.at;
    this.chosen = kept.at === '' ? null : Number(kept.at);
    this.say(kept.notice);
    this.show();
  }

  say(words: string, wrong = false): void {
    this.notice.textContent = words;
    this.notice.classList.toggle('wrong', wrong);
  }

  private get now(): (RunState & Details) | undefined {
    return this.runs.find(run => run.number === this.current);
  }

  private go(): void {
    const action = this.now?.status === 'running' ? 'pause' : 'resume';
    void this.tell(this.host.act(this.current, action, 0));
  }

  private async tell(answer: Promise<string>): Promise<void> {
    try {
      const words = await answer;
      if (words) this.say(words);
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error), true);
    }
  }

  /** A field whose number is sent by Enter or on leaving it. */
  private field(input: HTMLInputElement, what: SetRate['what'], signal: AbortSignal): void {
    input.addEventListener('input', () => input.classList.add('changed'), { signal });
    const send = () => {
      if (!input.classList.contains('changed')) return;
      input.classList.remove('changed');
      const value = Number(input.value.trim().replace(',', '.'));
      if (input.value.trim() === '' || !Number.isFinite(value)) {
        this.say(`“${input.value}” is not a number`, true);
        this.show();
        return;
      }
      input.dataset.asked = String(value);
      void this.tell(this.host.set(this.current, what, value));
    };
    input.addEventListener('change', send, { signal });
    input.addEventListener('keydown', event => {
      if (event.key === 'Enter') send();
      if (event.key === 'Escape') {
        input.classList.remove('changed');
        this.show();
      }
    }, { signal });
  }

  private choose(step: number | null, write = true): void {
    this.chosen = step === null ? null : Math.min(step, this.now?.step ?? step);
    if (write) this.at.value = this.chosen === null ? '' : String(this.chosen);
    this.draw(true);
  }

  /** Everything but the curves. */
  private show(): void {
    const run = this.now ?? this.runs[0];
    if (!run) return;
    this.current = run.number;
    this.fillChooser();
    const over = run.status === 'finished' || run.status === 'failed' || run.status === 'read';
    const label = run.status === 'running' ? 'Pause' : 'Resume';
    if (this.buttons.go.textContent !== label) this.buttons.go.textContent = label;
    const steered = run.steered && this.host.live;
    this.buttons.go.disabled = over || run.status === 'ready' || !steered;
    this.buttons.step.disabled = over || !steered;
    this.buttons.stop.disabled = !(run.status === 'running' || run.status === 'paused') || !steered;
    for (const key of ['rewind', 'fork', 'keep', 'find'] as const) this.buttons[key].disabled = !steered;
    this.rate.disabled = this.momentum.disabled = !steered;
    if (this.shownStatus !== run.status) {
      this.shownStatus = run.status;
      this.status.textContent = run.status;
      this.status.className = `cntk-status ${run.status}`;
    }
    if (run.progress === null) this.bar.removeAttribute('value');
    else this.bar.value = run.progress;
    this.bar.hidden = !run.steered;
    this.fillFacts(run);
    this.put(this.rate, run.learningRate);
    this.put(this.momentum, run.momentum);
    this.momentumLabel.style.display = run.momentum === null ? 'none' : '';
    this.at.max = String(run.step);
    this.fillFindings();
    this.draw();
    this.element.dataset.step = String(run.step);
    this.element.dataset.status = run.status;
  }

  private put(input: HTMLInputElement, value: number | null): void {
    if (input.classList.contains('changed')) return;
    // what was asked for stays until the next minibatch has it
    if (input.dataset.asked !== undefined) {
      if (this.now?.status === 'running' || Number(input.dataset.asked) === value) delete input.dataset.asked;
      else return;
    }
    const words = value === null ? '' : String(Number(value.toPrecision(6)));
    if (input.value !== words) input.value = words;
  }

  private fillChooser(): void {
    const names = this.runs.map(run => `${run.number}:${run.name}`).join('|');
    if (this.chooser.dataset.names !== names) {
      this.chooser.dataset.names = names;
      this.chooser.replaceChildren(...this.runs.map(run => html('option', { value: run.number }, run.name)));
    }
    this.chooser.value = String(this.current);
  }

  private fillFacts(run: RunState): void {
    const facts: [string, string][] = [['step', run.step.toLocaleString('en')]];
    if (run.steered) facts.push(['epoch', String(run.epoch)]);
    if (run.progress !== null) facts.push(['done', `${Math.floor(100 * run.progress)} %`]);
    facts.push(['time', clock(run.seconds)]);
    if (run.remaining !== null && (run.status === 'running' || run.status === 'paused')) facts.push(['left', clock(run.remaining)]);
    if (run.speed !== null) facts.push(['samples/s', Math.round(run.speed).toLocaleString('en')]);
    if (run.memory !== null) facts.push(['memory', bytes(run.memory)]);
    if (run.parent) facts.push(['from', `${run.parent}, step ${run.forkedAt}`]);
    this.facts.replaceChildren(...facts.map(([name, value]) => html('span', {}, `${name} `, html('b', {}, value))));
  }

  private fillFindings(): void {
    const found = this.runs.flatMap(run => run.findings.map(f => [run.name, ...f] as const));
    const key = JSON.stringify(found);
    if (this.findings.dataset.key === key) return;
    this.findings.dataset.key = key;
    this.findings.replaceChildren(...found.slice(-8).map(([name, step, kind, words]) => {
      const who = this.runs.length > 1 ? `${name}, ` : '';
      return html('li', {}, html('b', {}, kind), ` (${who}step ${step}): ${words}`);
    }));
  }

  /** Draw the curves at the next frame, or as soon as the refresh rate allows; what the user does is drawn at once. */
  private draw(now = false): void {
    if (this.waiting && !now) return;
    const wait = now ? 0 : this.drawnAt + 1000 / this.liked.refreshRate - performance.now();
    this.waiting = true;
    if (wait > 0) setTimeout(() => this.render(), wait);
    else this.render();
  }

  private render(): void {
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.ending.signal.aborted) return;
      this.drawnAt = performance.now();
      this.element.dataset.drawn = String(++this.drawings);
      const metric = this.runs.some(run => run.hasMetric);
      this.charts.metric.element.hidden = !metric;
      this.charts.loss.set(this.curves('loss'), this.marks(), this.logarithmic.checked);
      if (metric) this.charts.metric.set(this.curves('metric'), this.marks(), this.logarithmic.checked);
      this.element.dataset.points = String([...this.series.values()].reduce((sum, s) => sum + s.loss.length, 0));
    });
  }

  private marks(): Marks {
    return { changes: this.now?.changes.map(([step]) => step) ?? [], chosen: this.chosen };
  }

  private curves(kind: 'loss' | 'metric'): Curve[] {
    const made: Curve[] = [];
    const strength = Number(this.smoothing.value);
    this.runs.forEach((run, i) => {
      const series = this.series.get(run.number);
      const colour = COLOURS[i % COLOURS.length]!;
      const whose = this.runs.length > 1 ? `${run.name} ` : '';
      if (kind === 'metric' && !run.hasMetric) return;
      if (series?.loss.length) {
        const x = series.steps(run.step);
        const base = { run: run.number, colour, x };
        if (strength > 0) made.push({ ...base, label: `${whose}raw`, look: 'faint', y: smoothed(series[kind], 0) });
        // wide buckets are averages already: smooth as much per step
        const perBucket = strength ** Math.max(1, series.width / 8);
        made.push({ ...base, label: `${whose}training`, look: 'line', y: smoothed(series[kind], strength > 0 ? perBucket : 0) });
      }
      const checks = run.validation.filter(v => v[kind === 'loss' ? 1 : 2] !== null);
      if (checks.length)
        made.push({ run: run.number, colour: this.runs.length > 1 ? colour : COLOURS[1]!, label: `${whose}validation`, look: 'dashed', x: checks.map(v => v[0]), y: checks.map(v => v[kind === 'loss' ? 1 : 2]) });
    });
    return made;
  }
}
