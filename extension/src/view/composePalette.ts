// The palette: everything that can be added, found by typing; a combobox by keyboard, a source of drags by mouse.
import { searchPalette, SIGNS, type PaletteEntry } from '../model/compose';
import { html, ownId } from './dom';

export interface PaletteHooks {
  add(path: string): void;
  leave(): void;
}

export class ComposePalette {
  readonly element: HTMLElement;
  private readonly list: HTMLElement;
  private readonly field: HTMLInputElement;
  private found: PaletteEntry[] = [];
  private at = -1;
  private readonly id = ownId('palette');

  constructor(
    private readonly entries: readonly PaletteEntry[],
    private readonly hooks: PaletteHooks,
    signal: AbortSignal
  ) {
    this.list = html('div', { class: 'cntk-entries', role: 'listbox', id: this.id, 'aria-label': 'Layers and operators', tabindex: 0 });
    this.field = html('input', {
      type: 'search', placeholder: 'Search layers (a)', role: 'combobox', 'aria-label': 'Search layers and operators to add',
      'aria-controls': this.id, 'aria-expanded': 'true', 'aria-autocomplete': 'list', autocomplete: 'off', spellcheck: 'false'
    });
    this.element = html('div', { class: 'cntk-palette' }, this.field, this.list);
    this.field.addEventListener('input', () => this.look(), { signal });
    this.field.addEventListener('keydown', event => this.key(event), { signal });
    this.list.addEventListener('keydown', event => this.key(event), { signal });
    this.list.addEventListener('dblclick', event => {
      const path = pathOf(event.target);
      if (path) this.hooks.add(path);
    }, { signal });
    this.list.addEventListener('click', event => {
      const path = pathOf(event.target);
      if (path) this.choose(this.found.findIndex(entry => entry.path === path));
    }, { signal });
    this.list.addEventListener('dragstart', event => {
      const path = pathOf(event.target);
      if (!path) return;
      event.dataTransfer?.setData('application/x-cntk-layer', path);
      if (event.dataTransfer) event.dataTransfer.effectAllowed = 'copy';
    }, { signal });
    this.look();
  }

  /** Begin a search. */
  focus(placeholder: string): void {
    this.field.placeholder = placeholder;
    this.field.focus();
    this.field.select();
  }

  private look(): void {
    this.found = searchPalette(this.entries, this.field.value);
    const searching = this.field.value.trim() !== '';
    const parts: HTMLElement[] = [];
    let group: HTMLElement | undefined;
    this.found.forEach((entry, i) => {
      if (!searching && group?.dataset.heading !== entry.category) {
        group = html('div', { role: 'group', 'aria-label': entry.category, 'data-heading': entry.category });
        parts.push(group);
      }
      const sign = html('span', { class: `sign ${entry.group}`, 'aria-hidden': true }, SIGNS[entry.group] ?? 'ƒ');
      const words = html('span', { class: 'entry' }, entry.name, html('small', { 'aria-hidden': true }, entry.summary));
      const option = html('div', { role: 'option', id: `${this.id}-${i}`, 'aria-selected': 'false', 'aria-label': entry.name, title: `${entry.summary}\nDouble-click adds it behind the selected node; drag it onto a node or an edge.`, draggable: 'true' }, sign, words);
      option.dataset.path = entry.path;
      if (group) group.append(option);
      else parts.push(option);
    });
    this.list.replaceChildren(...parts);
    this.choose(searching && this.found.length ? 0 : -1);
  }

  private choose(at: number): void {
    const option = (i: number) => this.list.querySelector(`#${this.id}-${i}`);
    option(this.at)?.setAttribute('aria-selected', 'false');
    this.at = at;
    const chosen = option(at);
    chosen?.setAttribute('aria-selected', 'true');
    chosen?.scrollIntoView({ block: 'nearest' });
    if (chosen) this.field.setAttribute('aria-activedescendant', chosen.id);
    else this.field.removeAttribute('aria-activedescendant');
  }

  private key(event: KeyboardEvent): void {
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    const step = steps[event.key];
    if (step !== undefined) this.choose(Math.max(0, Math.min(this.found.length - 1, this.at + step)));
    else if (event.key === 'Escape') this.hooks.leave();
    else if (event.key === 'Enter' && this.found[this.at]) {
      const { path } = this.found[this.at]!;
      this.field.value = '';
      this.look();
      this.hooks.add(path);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function pathOf(target: EventTarget | null): string {
  return target instanceof Element ? (target.closest<HTMLElement>('[role=option]')?.dataset.path ?? '') : '';
}
