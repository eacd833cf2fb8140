// The parameters of the selected node: a control for each, of its kind; empty means the default. What is written is
// understood by Python, which answers with the value or with what would be one.
import type { Form, FormField } from '../model/compose';
import { html, ownId } from './dom';

export interface FormHooks {
  set(name: string, text: string): Promise<void>;
  rename(text: string): Promise<void>;
  leave(): void;
}

type Control = HTMLInputElement | HTMLSelectElement;

const HINTS: Readonly<Record<string, string>> = {
  shape: 'numbers such as 1, 28, 28', number: 'a number', integer: 'a whole number', text: 'a name', code: 'an expression'
};
const OTHER = '\u0000other';

const PATIENCE = 700;

function isControl(target: EventTarget | null): target is Control {
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
}

export class ComposeForm {
  readonly element = html('div', { class: 'cntk-form', role: 'region', 'aria-label': 'Parameters of the selected node', tabindex: 0 });
  private shown = '';
  /** When a key was pressed in a field, and what waits for the next one. */
  private typed = -Infinity;
  private waiting: ReturnType<typeof setTimeout> | undefined;
  private readonly id = ownId('form');

  constructor(
    private readonly hooks: FormHooks,
    signal: AbortSignal
  ) {
    this.element.addEventListener('change', event => {
      clearTimeout(this.waiting);
      // a drop-down is searched by typing, and each letter may choose another entry: wait for the last
      const typing = event.target instanceof HTMLSelectElement && event.timeStamp - this.typed < PATIENCE;
      if (typing) this.waiting = setTimeout(() => this.changed(event.target), PATIENCE);
      else this.changed(event.target);
    }, { signal });
    this.element.addEventListener('focusout', event => {
      if (event.target instanceof HTMLSelectElement) this.changed(event.target);
    }, { signal });
    signal.addEventListener('abort', () => clearTimeout(this.waiting));
    this.element.addEventListener('keydown', event => {
      const { target } = event;
      if (event.key === 'Escape') this.hooks.leave();
      else if (event.key === 'Enter' && isControl(target) && target.type !== 'checkbox') this.changed(target);
      else {
        this.typed = event.timeStamp;
        event.stopPropagation();
        return;
      }
      event.preventDefault();
      event.stopPropagation();
    }, { signal });
    this.show({});
  }

  focus(): void {
    (this.element.querySelector<HTMLElement>('input, select') ?? this.element).focus();
  }

  /** Show a node's parameters; `facts` is what comes of it. */
  show(form: Partial<Form>, facts = ''): void {
    const key = JSON.stringify([form, facts]);
    if (key === this.shown) return;
    this.shown = key;
    const active = document.activeElement instanceof HTMLElement && this.element.contains(document.activeElement) ? document.activeElement.dataset.field : undefined;
    if (!form.title) {
      this.element.replaceChildren(html('p', {}, 'Select a node to see its parameters.'));
      return;
    }
    const lines = (form.fields ?? []).filter(field => field.name !== 'name').flatMap(field => this.line(field));
    const name = form.fields?.find(field => field.name === 'name');
    this.element.replaceChildren(
      html('h3', {}, [form.title, form.variable && `→ ${form.variable}`].filter(Boolean).join(' ')),
      ...(form.summary ? [html('p', {}, form.summary)] : []),
      ...(facts ? [html('p', { class: 'facts' }, facts)] : []),
      html('div', { class: 'fields' }, ...(name ? this.line({ ...name, words: form.name ?? '', otherwise: 'none' }) : []), ...lines)
    );
    if (active !== undefined) this.element.querySelector<HTMLElement>(`[data-field="${CSS.escape(active)}"]`)?.focus();
  }

  private line(field: FormField): HTMLElement[] {
    const control = this.control(field);
    control.id = `${this.id}-${field.name}`;
    control.dataset.field = field.name;
    control.dataset.before = control instanceof HTMLInputElement && control.type === 'checkbox' ? String(control.checked) : control.value;
    if (field.value) control.classList.add('set');
    const unit = field.unit && control instanceof HTMLInputElement ? html('span', { class: 'unit', 'aria-hidden': true }, field.unit) : undefined;
    const label = html('label', { for: control.id, title: field.help }, field.name);
    if (field.help) {
      control.title = field.help;
      control.setAttribute('aria-description', field.help);
    }
    return [label, unit ? html('span', { class: 'with-unit' }, control, unit) : control];
  }

  private control(field: FormField): Control {
    if (field.kind === 'flag' && ['', 'True', 'False'].includes(field.value)) {
      const box = html('input', { type: 'checkbox' });
      box.checked = (field.value || field.default) === 'True';
      return box;
    }
    if (field.kind === 'choice') return this.choice(field);
    const placeholder = field.required ? `required: ${HINTS[field.kind] ?? ''}` : field.otherwise;
    return html('input', {
      type: 'text', value: field.words, placeholder, spellcheck: 'false', autocomplete: 'off',
      inputmode: field.kind === 'number' ? 'decimal' : field.kind === 'integer' ? 'numeric' : undefined
    });
  }

  /** A drop-down: the default, what is offered, what the program holds besides, and a way to write something else. */
  private choice(field: FormField): HTMLSelectElement {
    const select = html('select', {}, html('option', { value: '' }, `${field.otherwise || 'none'} (default)`));
    const known = field.choices.some(([word]) => word === field.words);
    for (const [word] of field.choices) if (word !== field.otherwise || word === field.words) select.append(html('option', { value: word }, word));
    if (field.words && !known) select.append(html('option', { value: field.words }, field.words));
    select.append(html('option', { value: OTHER }, 'other …'));
    select.value = field.words;
    return select;
  }

  private changed(target: EventTarget | null): void {
    clearTimeout(this.waiting);
    if (!isControl(target)) return;
    if (target.value === OTHER) {
      this.write(target);
      return;
    }
    const value = target instanceof HTMLInputElement && target.type === 'checkbox' ? (target.checked ? 'True' : 'False') : target.value;
    if (value.toLowerCase() === target.dataset.before?.toLowerCase()) return;
    target.dataset.before = value;
    const name = target.dataset.field ?? '';
    void (name === 'name' ? this.hooks.rename(value) : this.hooks.set(name, value));
  }

  /** A field in the place of a drop-down, for an expression. */
  private write(select: Control): void {
    const input = html('input', { type: 'text', id: select.id, value: select.dataset.before ?? '', placeholder: 'an expression such as C.relu', spellcheck: 'false', autocomplete: 'off' });
    input.dataset.field = select.dataset.field;
    input.dataset.before = select.dataset.before;
    select.replaceWith(input);
    input.focus();
  }
}
