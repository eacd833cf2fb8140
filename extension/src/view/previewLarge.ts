// One picture of a preview, large: zoom, and the value under the pointer or the arrow keys. Works without a kernel.
import { enlarged, type Picture, pixelWords } from '../model/preview';
import { button, html } from './dom';
import { painted } from './previewCells';

const LARGE = 420;
const LARGEST_ZOOM = 16;

export class LargePicture {
  readonly element = html('section', { hidden: true, class: 'cntk-large', 'aria-label': 'Large picture' });
  private shown = new AbortController();

  dispose(): void {
    this.shown.abort();
  }

  close(): void {
    this.shown.abort();
    this.element.hidden = true;
    this.element.replaceChildren();
  }

  /** Shows a picture; ``closed`` is called when the user has seen enough. */
  open(picture: Picture, heat: boolean, title: string, closed: () => void): void {
    this.close();
    this.shown = new AbortController();
    const { signal } = this.shown;
    const canvas = painted(picture, heat, LARGE);
    const base = picture.width * enlarged(picture, LARGE);
    const value = html('output', { class: 'cntk-page' }, 'point at the picture to read values');
    const at = { column: 0, row: 0 };
    let zoom = 1;
    const scale = (factor: number) => {
      zoom = Math.min(LARGEST_ZOOM, Math.max(0.25, zoom * factor));
      canvas.style.width = `${Math.round(base * zoom)}px`;
    };
    const read = (column: number, row: number) => {
      at.column = Math.min(picture.width - 1, Math.max(0, column));
      at.row = Math.min(picture.height - 1, Math.max(0, row));
      value.textContent = pixelWords(picture, at.column, at.row, heat);
    };
    const leave = () => {
      this.close();
      closed();
    };
    const view = html('div', { class: 'cntk-zoomed', tabindex: 0, 'aria-label': 'Arrow keys read values' }, canvas);
    const thin = picture.width < picture.fullWidth || picture.height < picture.fullHeight;
    const bar = html('div', { class: 'cntk-bar' }, html('b', {}, title),
      button('−', 'Smaller', () => scale(0.5), signal), button('+', 'Larger', () => scale(2), signal), value, html('span', { class: 'cntk-gap' }),
      button('✕', 'Close the large picture', leave, signal));
    canvas.addEventListener('pointermove', event => {
      const box = canvas.getBoundingClientRect();
      read(Math.floor(((event.clientX - box.left) / box.width) * picture.width), Math.floor(((event.clientY - box.top) / box.height) * picture.height));
    }, { signal });
    this.element.addEventListener('keydown', event => {
      const step = ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] } as Record<string, [number, number]>)[event.key];
      if (step) read(at.column + step[0], at.row + step[1]);
      else if (event.key === 'Escape') leave();
      else return;
      event.preventDefault();
      event.stopPropagation();
    }, { signal });
    this.element.append(bar, view, html('p', {}, picture.words + (thin ? `; shown with ${picture.width} x ${picture.height}` : '')));
    this.element.hidden = false;
    view.focus();
  }
}
