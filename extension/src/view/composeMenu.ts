// A menu at a place: of what can be done with a node, an edge or the canvas; by mouse and by keyboard.
import { html } from './dom';

export interface MenuItem {
  words: string;
  key?: string;
  /** Why it cannot be done now; '' if it can. */
  not?: string;
  act(): void;
}

export class ComposeMenu {
  readonly element = html('div', { class: 'cntk-menu', role: 'menu', tabindex: -1 });
  private items: MenuItem[] = [];
  private back: (() => void) | undefined;

  constructor(signal: AbortSignal) {
    this.element.hidden = true;
    this.element.addEventListener('keydown', event => this.key(event), { signal });
    this.element.addEventListener('click', event => {
      const at = event.target instanceof Element ? event.target.closest<HTMLElement>('[role=menuitem]') : null;
      if (at) this.choose(Number(at.dataset.at));
    }, { signal });
    this.element.addEventListener('contextmenu', event => {
      event.preventDefault();
      event.stopPropagation();
    }, { signal });
    this.element.addEventListener('focusout', event => {
      if (!(event.relatedTarget instanceof Node && this.element.contains(event.relatedTarget))) this.close(false);
    }, { signal });
  }

  /** Show a menu at a place of the element around it; `back` gives the focus back. */
  open(label: string, items: MenuItem[], x: number, y: number, back: () => void): void {
    this.items = items;
    this.back = back;
    this.element.setAttribute('aria-label', label);
    this.element.replaceChildren(
      ...items.map((item, i) => {
        const entry = html(
          'div', { role: 'menuitem', tabindex: -1, 'aria-disabled': item.not ? 'true' : undefined, title: item.not, 'aria-description': item.not, 'data-at': i },
          html('span', {}, item.words), html('kbd', { 'aria-hidden': true }, item.key ?? '')
        );
        return entry;
      })
    );
    this.element.hidden = false;
    const room = this.element.parentElement!;
    this.element.style.left = `${Math.max(0, Math.min(x, room.clientWidth - this.element.offsetWidth - 4))}px`;
    this.element.style.top = `${Math.max(0, Math.min(y, room.clientHeight - this.element.offsetHeight - 4))}px`;
    this.focus(0);
  }

  close(back = true): void {
    if (this.element.hidden) return;
    this.element.hidden = true;
    if (back) this.back?.();
  }

  private entries(): HTMLElement[] {
    return [...this.element.querySelectorAll<HTMLElement>('[role=menuitem]')];
  }

  private focus(at: number): void {
    const entries = this.entries();
    entries[(at + entries.length) % entries.length]?.focus();
  }

  private choose(at: number): void {
    const item = this.items[at];
    if (!item || item.not) return;
    this.close();
    item.act();
  }

  private key(event: KeyboardEvent): void {
    const at = this.entries().indexOf(document.activeElement as HTMLElement);
    const acts: Record<string, () => void> = {
      ArrowDown: () => this.focus(at + 1), ArrowUp: () => this.focus(at - 1), Home: () => this.focus(0), End: () => this.focus(-1),
      Escape: () => this.close(), Tab: () => this.close(), Enter: () => this.choose(at), ' ': () => this.choose(at)
    };
    const act = acts[event.key];
    event.stopPropagation();
    if (!act) return;
    event.preventDefault();
    act();
  }
}
