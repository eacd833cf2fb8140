// How wide text is in the fonts of this page.
import { measureWith } from '../model/layout';

const known = new Map<string, number>();
let context: CanvasRenderingContext2D | null | undefined;

/** Measure with the page's interface font from now on. */
export function measureWithPage(): void {
  if (context !== undefined) return;
  context = document.createElement('canvas').getContext('2d');
  if (!context) return;
  const surface = context;
  const family = getComputedStyle(document.body).getPropertyValue('--jp-ui-font-family').trim() || 'system-ui, sans-serif';
  measureWith((text, size, bold) => {
    const font = `${bold ? '600 ' : ''}${size}px ${family}`;
    const key = `${font}\n${text}`;
    let width = known.get(key);
    if (width === undefined) {
      if (known.size > 20_000) known.clear();
      surface.font = font;
      width = surface.measureText(text).width;
      known.set(key, width);
    }
    return width;
  });
}
