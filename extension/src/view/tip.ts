// Words beside the mouse, after it has rested for a moment. For eyes only: screen readers have labels.
import { html } from './dom';

/** Milliseconds of rest before the words are shown. */
const REST = 350;

export class Tip {
  private readonly element = html('div', { class: 'cntk-tip', 'aria-hidden': true });
  private timer: ReturnType<typeof setTimeout> | undefined;
  private over: Element | null = null;

  /** `words`: what is said of an element; nothing for none. Lines are lines. */
  constructor(
    private readonly place: HTMLElement,
    private readonly words: (target: Element) => string,
    signal: AbortSignal
  ) {
    this.element.hidden = true;
    place.append(this.element);
    place.addEventListener('pointermove', event => this.move(event), { signal });
    for (const event of ['pointerleave', 'pointerdown', 'wheel', 'keydown'] as const)
      place.addEventListener(event, () => this.hide(), { signal, passive: true });
    signal.addEventListener('abort', () => this.hide());
  }

  private move(event: PointerEvent): void {
    const target = event.target instanceof Element ? event.target.closest('.cntk-node, .cntk-edge') : null;
    if (target === this.over) return;
    this.hide();
    this.over = target;
    if (!target || event.buttons || event.pointerType === 'touch') return;
    const frame = this.place.getBoundingClientRect();
    const at = { x: event.clientX - frame.left, y: event.clientY - frame.top };
    this.timer = setTimeout(() => this.show(target, at.x, at.y), REST);
  }

  private show(target: Element, x: number, y: number): void {
    this.element.textContent = this.words(target);
    this.element.hidden = !this.element.textContent;
    if (this.element.hidden) return;
    const { offsetWidth: width, offsetHeight: height } = this.element;
    this.element.style.left = `${Math.max(4, Math.min(x + 12, this.place.clientWidth - width - 4))}px`;
    this.element.style.top = `${y + 16 + height > this.place.clientHeight ? Math.max(4, y - height - 8) : y + 16}px`;
  }

  private hide(): void {
    clearTimeout(this.timer);
    this.over = null;
    this.element.hidden = true;
  }
}
