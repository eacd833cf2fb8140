// Networks to begin with: cards over an empty canvas, or whenever they are asked for.
import type { Template } from '../model/compose';
import { button, html } from './dom';

const PICTURES: Readonly<Record<string, string>> = {
  mlp: '≡', convnet: '▦', resnet: '⤴', tagger: '↻', seq2seq: '⇄', transformer: '◎', autoencoder: '⋈', gan: '⚔'
};

export class ComposeStart {
  readonly element = html('div', { class: 'cntk-start', role: 'dialog', 'aria-label': 'Networks to begin with' });

  constructor(templates: readonly Template[], begin: (name: string) => void, leave: () => void, signal: AbortSignal) {
    this.element.hidden = true;
    const cards = templates.map(template => {
      const card = html(
        'button', { type: 'button', class: 'card' },
        html('span', { class: 'sign', 'aria-hidden': true }, PICTURES[template.name] ?? '◇'),
        html('span', {}, html('b', {}, template.title), html('small', {}, template.summary))
      );
      card.dataset.template = template.name;
      card.addEventListener('click', () => begin(template.name), { signal });
      return card;
    });
    this.element.append(
      html('p', {}, 'Begin with a network, or add layers from the list on the left: double-click or drag them.'),
      html('div', { class: 'cards' }, ...cards),
      button('Begin empty', 'Close and begin with nothing (Escape)', leave, signal)
    );
    this.element.addEventListener('keydown', event => {
      event.stopPropagation();
      if (event.key === 'Escape') leave();
    }, { signal });
  }

  show(shown: boolean, focus = false): void {
    this.element.hidden = !shown;
    if (shown && focus) this.element.querySelector<HTMLElement>('button')?.focus();
  }
}
