// The whole reader preview: buttons, streams, sequences, transforms, statistics, a model's inputs. Knows no Jupyter: a host acts.
import { bars, binWords, type Content, isGrid, lengthWords, type Match, type Measured, pageWords, short, shapeWords, type Traced } from '../model/preview';
import type { Browse } from '../protocol/messages';
import { button, html, svg } from './dom';
import { cellBody, painted } from './previewCells';
import { LargePicture } from './previewLarge';
import { PREVIEW_STYLE } from './previewStyle';
import { STYLE } from './theme';

export interface PreviewHost {
  browse(to: Browse['to'], number: number): Promise<string>;
}

export class PreviewPane {
  readonly element: HTMLElement;
  private readonly ending = new AbortController();
  private chosen = -1;

  private readonly buttons: Record<'previous' | 'next' | 'order' | 'training', HTMLButtonElement>;
  private readonly number = html('input', { type: 'number', min: 0, step: 1, 'aria-label': 'Number of the minibatch' });
  private readonly size = html('input', { type: 'number', min: 1, step: 1, 'aria-label': 'Samples in a minibatch' });
  private readonly page = html('span', { class: 'cntk-page', role: 'status' });
  private readonly streams = html('table', { class: 'cntk-streams', 'aria-label': 'Streams of the source' });
  private readonly samples = html('ul', { class: 'cntk-samples', tabindex: 0, 'aria-label': 'Sequences of the minibatch' });
  private readonly matches = html('section', { hidden: true, 'aria-label': 'Streams and inputs of the model' });
  private readonly steps = html('section', { hidden: true, 'aria-label': 'Transforms step by step' });
  private readonly figures = html('section', { hidden: true, 'aria-label': 'Statistics' });
  private readonly defects = html('section', { hidden: true, 'aria-label': 'Bad places in the data' });
  private readonly large = new LargePicture();
  private readonly notice = html('div', { class: 'cntk-notice', role: 'status' });

  constructor(private readonly host: PreviewHost) {
    const { signal } = this.ending;
    const go = (to: Browse['to']) => () => void this.ask(to);
    this.buttons = {
      previous: button('◀ Previous', 'The minibatch before (arrow left)', go('previous'), signal),
      next: button('Next ▶', 'The next minibatch (arrow right)', go('next'), signal),
      order: button('Training’s order', 'Show the minibatches in the order in which training sees them', go('order'), signal),
      training: button('Where training is', 'Show the minibatch that training sees next', go('training'), signal)
    };
    for (const element of Object.values(this.buttons)) element.removeAttribute('aria-label');
    this.field(this.number, 'go', signal);
    this.field(this.size, 'size', signal);
    const top = html('div', { class: 'cntk-bar', role: 'toolbar', 'aria-label': 'Minibatches' },
      this.buttons.previous, html('label', {}, 'minibatch ', this.number), this.buttons.next,
      html('label', {}, 'of ', this.size, ' samples'), this.buttons.order, this.buttons.training, html('span', { class: 'cntk-gap' }), this.page);
    this.element = html('div', { class: 'cntk-lab cntk-preview', 'data-lm-suppress-shortcuts': 'true', role: 'region', 'aria-label': 'Reader preview' },
      html('style', {}, STYLE + PREVIEW_STYLE), top, this.streams, this.matches, this.samples, this.large.element, this.steps, this.figures, this.defects, this.notice);
    this.element.addEventListener('keydown', event => {
      if (event.target instanceof HTMLInputElement || event.altKey || event.ctrlKey || event.metaKey) return;
      const to = ({ ArrowRight: 'next', ArrowLeft: 'previous' } as const)[event.key as 'ArrowRight' | 'ArrowLeft'];
      if (!to && event.key !== 'Home') return;
      event.preventDefault();
      event.stopPropagation();
      void (to ? this.ask(to) : this.ask('go', 0));
    }, { signal });
  }

  dispose(): void {
    this.ending.abort();
    this.large.dispose();
    this.element.remove();
  }

  say(words: string, wrong = false): void {
    this.notice.textContent = words;
    this.notice.classList.toggle('wrong', wrong);
  }

  /** Another minibatch. */
  setContent(content: Content): void {
    const focus = this.focused();
    if (document.activeElement !== this.number) this.number.value = String(content.number);
    if (document.activeElement !== this.size) this.size.value = String(content.size);
    this.buttons.previous.disabled = content.number === 0;
    this.buttons.next.disabled = content.last;
    this.buttons.order.hidden = !content.shuffles;
    this.buttons.training.hidden = !content.follows;
    this.page.textContent = `${pageWords(content)}, ${content.order}`;
    this.fillStreams(content);
    this.fillSamples(content);
    this.fillDefects(content);
    this.element.dataset.number = String(content.number);
    this.element.dataset.sequences = String(content.sequences);
    if (focus >= 0) this.pictures()[Math.min(focus, this.pictures().length - 1)]?.focus();
  }

  /** What the transforms made of one sequence. */
  setTraced(traced: Partial<Traced>): void {
    const streams = traced.streams ?? [];
    this.steps.hidden = streams.length === 0;
    this.chosen = streams.length ? (traced.sequence ?? -1) : -1;
    this.pictures().forEach(element => {
      element.classList.toggle('chosen', Number(element.dataset.sequence) === this.chosen);
    });
    this.steps.replaceChildren(...streams.flatMap(stream => [
      html('h3', {}, `${stream.name}, sequence ${traced.name ?? ''}: step by step`),
      html('ol', { class: 'cntk-steps' }, ...stream.steps.map(step =>
        html('li', {}, html('b', {}, step.kind), painted(step, false, 150), ...step.draws.map(words => html('span', {}, words)))))
    ]));
  }

  setMeasured(measured: Partial<Measured>): void {
    const there = measured.lengths !== undefined;
    this.figures.hidden = !there;
    if (!there) return;
    const all = measured as Measured;
    this.figures.replaceChildren(html('div', { class: 'cntk-figures' }, ...(all.longest > 1 ? [this.lengths(all)] : []), ...all.streams.map(s => this.stream(s, all.basis))));
  }

  setMatches(matches: readonly Match[]): void {
    this.matches.hidden = matches.length === 0;
    const wrong = matches.filter(m => m.state === 'wrong').length;
    const words = wrong ? `${wrong} of the model’s inputs ${wrong === 1 ? 'does' : 'do'} not fit` : 'the streams fit the model';
    this.matches.replaceChildren(html('h3', {}, `Streams and inputs: ${words}`), html('div', { class: 'cntk-matches' }, ...matches.flatMap(match => {
      const end = (name: string, what: string) => (name
        ? html('div', { class: `cntk-end ${match.state}` }, html('b', {}, name), html('span', {}, what))
        : html('div', {}));
      const joint = match.state === 'fits' ? 'fits' : match.state === 'wrong' ? match.problem : 'not used';
      const parts = [end(match.stream, match.arrives), html('div', { class: `cntk-joint ${match.state}` }, joint), end(match.input, match.expects)];
      return match.fix ? [...parts, html('div', { class: 'cntk-fix' }, `fix: ${match.fix}`)] : parts;
    })));
  }

  async ask(to: Browse['to'], number = 0): Promise<void> {
    try {
      this.say(await this.host.browse(to, number));
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error), true);
    }
  }

  private field(input: HTMLInputElement, to: 'go' | 'size', signal: AbortSignal): void {
    // Jupyter may keep the Enter key from making a change event
    let sent = '';
    const send = () => {
      if (input.value === sent) return;
      sent = input.value;
      const value = Math.round(Number(input.value));
      if (input.value === '' || !Number.isFinite(value) || value < Number(input.min)) {
        this.say(`“${input.value}” is no number from ${input.min} on`, true);
        return;
      }
      void this.ask(to, value);
    };
    input.addEventListener('input', () => {
      sent = '';
    }, { signal });
    input.addEventListener('change', send, { signal });
    input.addEventListener('keydown', event => {
      if (event.key === 'Enter') send();
    }, { signal });
  }

  private pictures(): HTMLButtonElement[] {
    return [...this.samples.querySelectorAll<HTMLButtonElement>('button.picture')];
  }

  private focused(): number {
    return this.pictures().indexOf(document.activeElement as HTMLButtonElement);
  }

  private fillStreams(content: Content): void {
    const wrong = content.streams.some(s => s.notFinite > 0);
    const head = html('thead', {}, html('tr', {}, ...['stream', 'shape', 'storage', 'length', ...(wrong ? ['not finite'] : [])].map(words => html('th', { scope: 'col' }, words))));
    const rows = content.streams.map(s => html('tr', {},
      html('th', { scope: 'row' }, s.name), html('td', {}, shapeWords(s.shape)), html('td', {}, `${s.storage} ${s.dtype}`),
      html('td', {}, lengthWords(s.shortest, s.longest)),
      ...(wrong ? [html('td', { class: 'wrong' }, s.notFinite ? `${s.notFinite.toLocaleString('en')} values` : '')] : [])));
    this.streams.replaceChildren(head, html('tbody', {}, ...rows));
  }

  private fillSamples(content: Content): void {
    const { signal } = this.ending;
    this.large.close();
    this.samples.classList.toggle('grid', isGrid(content.streams));
    this.samples.classList.toggle('several', content.streams.filter(s => s.form === 'image').length > 1);
    const items = content.items.map((item, place) => {
      const cells = item.cells.flatMap((cell, k) => {
        const stream = content.streams[k]!;
        let body = cellBody(cell);
        if (cell.form === 'image' || cell.form === 'heat') {
          const steps = content.steps.includes(stream.name);
          const label = `sequence ${item.name}: ${cell.words}; show ${stream.name} large${steps ? ' and its transforms' : ''}`;
          const element = html('button', { type: 'button', class: 'picture', 'aria-label': label, 'data-sequence': place }, ...body);
          element.addEventListener('click', () => {
            this.large.open(cell, cell.form === 'heat', `${stream.name}, sequence ${item.name}`, () => element.focus());
            if (steps) void this.ask('steps', place);
          }, { signal });
          element.querySelector('canvas')?.setAttribute('aria-hidden', 'true');
          body = [element];
        }
        return [html('dt', { class: cell.form, title: stream.name }, stream.name), html('dd', { class: cell.form }, ...body)];
      });
      return html('li', {}, html('div', { class: 'cntk-id' }, item.name), html('dl', { class: 'cntk-cells' }, ...cells));
    });
    if (content.more) items.push(html('li', {}, html('div', { class: 'cntk-id' }, `and ${content.more.toLocaleString('en')} more sequences`)));
    this.samples.replaceChildren(...items);
    this.samples.hidden = items.length === 0;
  }

  private fillDefects(content: Content): void {
    this.defects.hidden = content.defects.length === 0;
    const count = content.defects.length;
    this.defects.replaceChildren(html('h3', {}, `${count} bad ${count === 1 ? 'place' : 'places'} met so far; their sequences are left out`),
      html('ul', { class: 'cntk-defects' }, ...content.defects.map(([, , words]) => html('li', {}, html('pre', {}, words)))));
  }

  private lengths(all: Measured): HTMLElement {
    const heights = bars(all.lengths);
    const wide = 240 / Math.max(heights.length, 1);
    const rects = heights.map((height, i) =>
      svg('rect', { x: (i * wide + 0.5).toFixed(1), y: (70 * (1 - height)).toFixed(1), width: Math.max(wide - 1, 0.5).toFixed(1), height: (70 * height).toFixed(1) },
        svg('title', {}, binWords(all.edges, i, all.lengths[i]!))));
    const words = `lengths of ${all.lengths_basis}: ${lengthWords(all.shortest, all.longest)}, mean ${short(all.mean)}`;
    const waste = Math.round(100 * all.waste);
    return html('div', {}, html('h3', {}, 'Lengths'),
      svg('svg', { class: 'bars', viewBox: '0 0 240 70', preserveAspectRatio: 'none', role: 'img', 'aria-label': words }, ...rects),
      html('div', { class: 'cntk-ends' }, html('span', {}, String(all.shortest)), html('span', {}, String(all.longest))),
      html('p', { class: 'cntk-waste' }, `Padding would waste ${waste} % of a minibatch.`),
      html('p', {}, words));
  }

  private stream(s: Measured['streams'][number], basis: string): HTMLElement {
    const most = Math.max(...s.classes.map(([, n]) => n), 1);
    const rows = s.classes.flatMap(([name, count]) => [
      html('span', { title: name }, name), html('i', { style: `width: ${((100 * count) / most).toFixed(1)}%` }), html('span', {}, count.toLocaleString('en'))]);
    const hidden = s.classCount - s.classes.length;
    return html('div', {}, html('h3', {}, s.name),
      html('p', {}, `${short(s.low)} to ${short(s.high)}, mean ${short(s.mean)}, ${short(100 * s.not_zero)} % not zero${s.not_finite ? `, ${s.not_finite} not finite` : ''}`),
      ...(rows.length ? [html('div', { class: 'cntk-classes' }, ...rows)] : []),
      ...(hidden > 0 ? [html('p', {}, `the ${s.classes.length} most frequent of ${s.classCount} classes`)] : []),
      ...s.balance.map(words => html('p', {}, words)), html('p', {}, `from ${basis}`));
  }
}
