// A saved view in an element: the widget's own front end over saved data, under a line that says what it is.
import type { RenderProps } from '@anywidget/types';
import { readView, SAVED_WORDS, SavedModel } from '../model/saved';
import { html } from './dom';

/** Draws over a model, and gives what ends it. */
export type Render = (props: { model: SavedModel; el: HTMLElement }) => Promise<() => void>;

/** A front end that was written for a kernel's model. */
// biome-ignore lint/suspicious/noExplicitAny: each front end names the state of its own model
export function forSaved<T extends Record<string, any>>(render: (props: RenderProps<T>) => Promise<() => void>): Render {
  return props => render(props as unknown as RenderProps<T>);
}

export class SavedPane {
  readonly element = html('div', { class: 'cntk-saved' });
  private end: (() => void) | undefined;

  constructor(private readonly renders: Record<string, Render>) {}

  /** Show an output's data; where no view was kept, the picture (SVG, as an image: nothing in it runs), or words. */
  async show(data: Readonly<Record<string, unknown>>): Promise<void> {
    this.dispose();
    const view = readView(data);
    const render = view && Object.hasOwn(this.renders, view.view) ? this.renders[view.view] : undefined;
    const el = html('div', {});
    this.element.replaceChildren(html('p', { class: 'cntk-saved-words', style: 'margin:2px 4px;font-size:12px;opacity:.75' }, SAVED_WORDS), el);
    try {
      if (!view || !render) throw new Error('no view was kept');
      this.end = await render({ model: new SavedModel(view), el });
    } catch {
      el.replaceChildren(flat(data['image/svg+xml'], data['text/plain'])); // the picture says what the data cannot
    }
  }

  dispose(): void {
    this.end?.();
    this.end = undefined;
    this.element.replaceChildren();
  }
}

function flat(picture: unknown, words: unknown): HTMLElement {
  const text = (value: unknown) => (Array.isArray(value) ? value.join('') : typeof value === 'string' ? value : '');
  const svg = text(picture);
  if (!svg) return html('pre', {}, text(words));
  return html('img', { src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`, alt: text(words), style: 'max-width:100%' });
}
