// The program beside the canvas: a plain text area over a copy of the text on which places are marked.
import type { Problem } from '../model/compose';
import { html } from './dom';

export interface CodeHooks {
  change(text: string): void;
  leave(): void;
}

const PATIENCE = 500;

export class ComposeCode {
  readonly element: HTMLElement;
  private readonly area = html('textarea', { 'aria-label': 'Code of the model', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', wrap: 'off' });
  private readonly back = html('pre', { 'aria-hidden': true });
  private timer: ReturnType<typeof setTimeout> | undefined;
  private told = '';
  private wrong: readonly Problem[] = [];
  private span: readonly number[] = [];

  constructor(
    private readonly hooks: CodeHooks,
    signal: AbortSignal
  ) {
    this.element = html('div', { class: 'cntk-code' }, this.back, this.area);
    this.area.addEventListener('input', () => {
      this.paint();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.tell(), PATIENCE);
    }, { signal });
    this.area.addEventListener('blur', () => this.tell(), { signal });
    this.area.addEventListener('scroll', () => {
      this.back.scrollTop = this.area.scrollTop;
      this.back.scrollLeft = this.area.scrollLeft;
    }, { signal });
    this.area.addEventListener('keydown', event => {
      if (event.key === 'Escape') {
        event.preventDefault();
        event.stopPropagation();
        this.tell();
        this.hooks.leave();
      }
    }, { signal });
    signal.addEventListener('abort', () => clearTimeout(this.timer));
  }

  focus(): void {
    const [start, end] = this.span;
    if (start !== undefined && end !== undefined) this.area.setSelectionRange(start, end);
    this.area.focus();
  }

  show(text: string, wrong: readonly Problem[], span: readonly number[]): void {
    this.wrong = wrong;
    // what is being typed is newer than what comes back
    if (text !== this.told && (this.area.value === this.told || document.activeElement !== this.area) && this.area.value !== text) {
      const { selectionStart, scrollTop } = this.area;
      this.area.value = text;
      this.area.setSelectionRange(selectionStart, selectionStart);
      this.area.scrollTop = scrollTop;
    }
    this.told = text;
    this.highlight(span);
  }

  highlight(span: readonly number[]): void {
    this.span = span;
    this.paint();
  }

  private tell(): void {
    clearTimeout(this.timer);
    if (this.area.value === this.told) return;
    this.told = this.area.value;
    this.hooks.change(this.area.value);
  }

  /** Marks under the text: the selected node's place, and those of problems. */
  private paint(): void {
    const text = this.area.value;
    const marks = [
      ...this.wrong.filter(p => p.end > p.start).map(p => ({ start: p.start, end: p.end, kind: 'wrong' })),
      ...(this.span.length === 2 ? [{ start: this.span[0]!, end: this.span[1]!, kind: '' }] : [])
    ].sort((a, b) => a.start - b.start);
    const parts: (Node | string)[] = [];
    let at = 0;
    for (const { start, end, kind } of marks) {
      const from = Math.max(start, at);
      if (from >= end || end > text.length) continue;
      parts.push(text.slice(at, from), html('mark', { class: kind }, text.slice(from, end)));
      at = end;
    }
    this.back.replaceChildren(...parts, text.slice(at), '\n');
    this.back.scrollTop = this.area.scrollTop;
    this.back.scrollLeft = this.area.scrollLeft;
  }
}
