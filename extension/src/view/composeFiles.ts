// Saving and opening: a line below the buttons, in which a file of the notebook's folder is named.
import { button, html, ownId } from './dom';

export interface FileHooks {
  save(name: string, replace: boolean): Promise<string>;
  open(name: string): Promise<string>;
  leave(): void;
}

export class ComposeFiles {
  readonly element = html('div', { class: 'cntk-bar cntk-files', role: 'group' });
  private readonly field = html('input', { type: 'text', spellcheck: 'false', autocomplete: 'off' });
  private readonly label = html('label', {});
  private readonly words = html('span', { class: 'words', role: 'status' });
  private readonly go: HTMLButtonElement;
  private readonly replace: HTMLButtonElement;
  private mode: 'save' | 'open' = 'save';

  constructor(
    private readonly hooks: FileHooks,
    signal: AbortSignal
  ) {
    this.element.hidden = true;
    this.field.id = ownId('file');
    this.label.htmlFor = this.field.id;
    this.go = button('Save', 'Save', () => void this.run(false), signal);
    this.replace = button('Replace', 'Replace the file that is there', () => void this.run(true), signal);
    this.element.append(this.label, this.field, this.go, this.replace, button('Close', 'Close (Escape)', () => this.close(), signal), this.words);
    this.element.addEventListener('keydown', event => {
      event.stopPropagation();
      if (event.key === 'Escape') this.close();
      else if (event.key === 'Enter' && event.target === this.field) void this.run(false);
      else return;
      event.preventDefault();
    }, { signal });
  }

  open(mode: 'save' | 'open'): void {
    this.mode = mode;
    const saving = mode === 'save';
    this.label.textContent = saving ? 'Save as' : 'Open';
    this.go.textContent = saving ? 'Save' : 'Open';
    this.go.title = saving ? 'Save: .py keeps the program, .model the network with its weights' : 'Open a program (.py) or a model (.model, .dnn, .cntk)';
    this.go.setAttribute('aria-label', this.go.title);
    this.element.setAttribute('aria-label', saving ? 'Save' : 'Open');
    this.field.placeholder = saving ? 'net.model (with weights) or net.py (the program)' : 'net.model or net.py';
    this.words.textContent = '';
    this.replace.hidden = true;
    this.element.hidden = false;
    this.field.focus();
    this.field.select();
  }

  private close(): void {
    this.element.hidden = true;
    this.hooks.leave();
  }

  private async run(replace: boolean): Promise<void> {
    const name = this.field.value.trim();
    if (!name) {
      this.words.textContent = 'Name a file first.';
      return;
    }
    try {
      const told = await (this.mode === 'save' ? this.hooks.save(name, replace) : this.hooks.open(name));
      this.replace.hidden = true;
      if (this.mode === 'open') this.close();
      else this.words.textContent = told;
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      this.replace.hidden = !(this.mode === 'save' && words.includes('exists already'));
      this.words.textContent = words;
    }
  }
}

