// The parameters of the selected node: one line each, as code; empty means the default.
import type { Form } from '../model/compose';
import { html } from './dom';

export interface FormHooks {
  set(name: string, text: string): Promise<void>;
  rename(text: string): Promise<void>;
  leave(): void;
}

let forms = 0;

export class ComposeForm {
  readonly element = html('div', { class: 'cntk-form', role: 'region', 'aria-label': 'Parameters of the selected node', tabindex: 0 });
  private shown = '';
  private readonly id = `cntk-form-${forms++}`;

  constructor(
    private readonly hooks: FormHooks,
    signal: AbortSignal
  ) {
    this.element.addEventListener('change', event => this.changed(event.target), { signal });
    this.element.addEventListener('keydown', event => {
      if (event.key === 'Escape') this.hooks.leave();
      else if (event.key === 'Enter' && event.target instanceof HTMLInputElement) event.target.dispatchEvent(new Event('change', { bubbles: true }));
      else return;
      event.preventDefault();
      event.stopPropagation();
    }, { signal });
    this.show({});
  }

  focus(): void {
    (this.element.querySelector<HTMLInputElement>('input') ?? this.element).focus();
  }

  show(form: Partial<Form>): void {
    const key = JSON.stringify(form);
    if (key === this.shown) return;
    this.shown = key;
    const active = document.activeElement instanceof HTMLInputElement && this.element.contains(document.activeElement) ? document.activeElement.dataset.field : undefined;
    if (!form.title) {
      this.element.replaceChildren(html('p', {}, 'Select a node to see its parameters.'));
      return;
    }
    const lines = (form.fields ?? []).filter(field => field.name !== 'name').flatMap(field => this.line(field.name, field.value, field.required ? 'required' : field.default));
    this.element.replaceChildren(
      html('h3', {}, [form.title, form.variable && `→ ${form.variable}`].filter(Boolean).join(' ')),
      ...(form.summary ? [html('p', {}, form.summary)] : []),
      html('div', { class: 'fields' }, ...(form.fields?.some(field => field.name === 'name') ? this.line('name', form.name ?? '', 'none') : []), ...lines)
    );
    if (active !== undefined) this.element.querySelector<HTMLInputElement>(`input[data-field="${CSS.escape(active)}"]`)?.focus();
  }

  private line(name: string, value: string, placeholder: string): HTMLElement[] {
    const input = html('input', { type: 'text', id: `${this.id}-${name}`, value, placeholder, spellcheck: 'false', autocomplete: 'off', class: value ? 'set' : '' });
    input.dataset.field = name;
    input.dataset.before = value;
    return [html('label', { for: input.id }, name), input];
  }

  private changed(target: EventTarget | null): void {
    if (!(target instanceof HTMLInputElement) || target.value === target.dataset.before) return;
    target.dataset.before = target.value;
    const name = target.dataset.field ?? '';
    void (name === 'name' ? this.hooks.rename(target.value) : this.hooks.set(name, target.value));
  }
}
