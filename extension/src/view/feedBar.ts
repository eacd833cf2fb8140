// The bar that follows a fed sample through the nodes and through time.
import type { Feed } from '../protocol/messages';
import { button, html } from './dom';
import type { Fed } from '../protocol/state';

export type { Fed } from '../protocol/state';

type Go = (what: Feed['what'], nodes: number, frames: number) => Promise<string>;

export class FeedBar {
  readonly element: HTMLElement;
  private readonly node = html('span', { class: 'cntk-place' });
  private readonly frame = html('span', { class: 'cntk-place' });
  private readonly words = html('span', { class: 'cntk-found', role: 'status' });
  private readonly time: HTMLElement;
  private fed = false;

  constructor(
    private readonly go: Go | null,
    private readonly signal: AbortSignal
  ) {
    const step = (nodes: number, frames: number) => () => this.ask('go', nodes, frames);
    this.time = html('span', { class: 'cntk-time' },
      button('◀', 'Frame before ( , )', step(0, -1), signal), this.frame, button('▶', 'Next frame ( . )', step(0, 1), signal));
    this.element = html('div', { class: 'cntk-bar cntk-feed', role: 'toolbar', 'aria-label': 'Fed sample', hidden: true },
      button('◀', 'Node before (p)', step(-1, 0), signal), this.node, button('▶', 'Next node (n)', step(1, 0), signal),
      this.time, this.words, html('span', { class: 'cntk-gap' }), button('✕', 'Take the sample away', () => this.ask('end', 0, 0), signal));
  }

  /** The button that feeds a sample; none where nobody can. */
  opener(): HTMLElement[] {
    return this.go ? [button('Feed', 'Feed: let a sample go through the graph, and follow it', () => this.ask('begin', 0, 0), this.signal)] : [];
  }

  show(fed: Partial<Fed>, title: string): void {
    this.fed = fed.at !== undefined;
    this.element.hidden = !this.fed;
    if (!this.fed) return;
    const { number = 0, count = 0, frame = 0, frames = 1 } = fed;
    this.node.textContent = `node ${number + 1} of ${count}: ${title}`;
    this.frame.textContent = `frame ${frame + 1} of ${frames}`;
    this.time.style.display = frames > 1 ? '' : 'none';
    this.element.dataset.number = String(number);
    this.element.dataset.frame = String(frame);
  }

  /** Whether a key was meant for the sample. */
  key(event: KeyboardEvent): boolean {
    const steps: Record<string, [number, number]> = { n: [1, 0], p: [-1, 0], '.': [0, 1], ',': [0, -1] };
    const step = steps[event.key];
    if (!this.fed || !step || event.ctrlKey || event.metaKey || event.altKey) return false;
    this.ask('go', ...step);
    return true;
  }

  private ask(what: Feed['what'], nodes: number, frames: number): void {
    this.go?.(what, nodes, frames).then(
      words => {
        this.words.classList.remove('wrong');
        this.words.textContent = words;
      },
      (error: unknown) => {
        this.element.hidden = false;
        this.words.classList.add('wrong');
        this.words.textContent = error instanceof Error ? error.message : String(error);
      }
    );
  }
}
