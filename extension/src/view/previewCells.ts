// What a sequence holds of a stream, in DOM: canvases, curves, tokens, numbers. Every word is a text node.
import { type Cell, curvePoints, enlarged, type Picture, rgba, short } from '../model/preview';
import { html, svg } from './dom';

/** A picture in its own proportions, its longer side at least ``least`` pixels. */
export function painted(picture: Picture, heat: boolean, least = 0): HTMLCanvasElement {
  const canvas = html('canvas', { width: picture.width, height: picture.height, role: 'img', 'aria-label': picture.words, title: picture.words });
  const context = canvas.getContext('2d');
  if (context && picture.width && picture.height)
    context.putImageData(new ImageData(rgba(picture, heat), picture.width, picture.height), 0, 0);
  if (least) canvas.style.width = `${Math.round(picture.width * enlarged(picture, least))}px`;
  return canvas;
}

/** What a sequence holds of a stream. */
export function cellBody(cell: Cell): (Node | string)[] {
  switch (cell.form) {
    case 'image':
      return [painted(cell, false, 88)];
    case 'heat': {
      const canvas = painted(cell, true);
      canvas.style.width = `${Math.min(560, Math.max(24, cell.width * 4))}px`;
      canvas.style.height = `${Math.min(96, Math.max(18, cell.height * 3))}px`;
      return [canvas, html('span', { class: 'cntk-rest' }, cell.words)];
    }
    case 'curve': {
      const line = svg('polyline', { points: curvePoints(cell.points, cell.low, cell.high, 600, 40) });
      return [
        svg('svg', { class: 'curve', viewBox: '0 -2 600 44', preserveAspectRatio: 'none', role: 'img', 'aria-label': cell.words }, line),
        html('span', { class: 'cntk-rest' }, cell.words)
      ];
    }
    case 'tokens':
      return [...cell.tokens.map(token => html('span', { class: 'cntk-token' }, token)), ...rest(cell.more, 'more')];
    case 'sparse':
      return [
        html('span', { class: 'cntk-rest' }, cell.words),
        ...cell.frames.map(frame =>
          html('div', {}, ...frame.entries.map(([name, value]) => html('span', { class: 'cntk-token' }, name, html('i', {}, short(value)))), ...rest(frame.more, 'more'))),
        ...rest(cell.more, 'more frames')
      ];
    case 'numbers':
      return [...cell.rows.map(row => html('div', {}, row.map(short).join('  '))), ...rest(cell.more, 'more frames')];
    default:
      return [html('span', { class: 'cntk-rest' }, cell.words)];
  }
}

function rest(count: number, what: string): HTMLElement[] {
  return count > 0 ? [html('span', { class: 'cntk-rest' }, `and ${count.toLocaleString('en')} ${what}`)] : [];
}
