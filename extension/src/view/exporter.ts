// The canvas as a file: an SVG that carries its own colours, or a PNG of it.
import type { Canvas } from './canvas';

const KEPT = ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'font-family', 'font-size', 'font-weight', 'text-anchor', 'paint-order', 'stroke-linejoin'];

/** The scene as a stand-alone SVG: whole, at its natural size, the same text for the same picture. */
export function asSvg(canvas: Canvas): string {
  const copy = canvas.svg.cloneNode(true) as SVGSVGElement;
  const from = canvas.svg.querySelectorAll('*');
  copy.querySelectorAll<SVGElement>('*').forEach((element, i) => {
    const style = getComputedStyle(from[i]!);
    element.removeAttribute('style');
    for (const name of ['tabindex', 'role', 'aria-expanded', 'data-uid', 'class']) element.removeAttribute(name);
    if (element instanceof SVGGraphicsElement || element.tagName === 'tspan' || element.closest('marker'))
      for (const name of KEPT) {
        const value = style.getPropertyValue(name);
        if (value && value !== 'none' && value !== 'normal') element.setAttribute(name, value);
        else if (name === 'fill' && value === 'none') element.setAttribute(name, value);
      }
  });
  const { width, height } = canvas.scene;
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  copy.setAttribute('viewBox', `0 0 ${width.toFixed(0)} ${height.toFixed(0)}`);
  copy.setAttribute('width', width.toFixed(0));
  copy.setAttribute('height', height.toFixed(0));
  copy.setAttribute('role', 'img');
  const back = getComputedStyle(canvas.element.closest('.cntk-lab') ?? canvas.element).backgroundColor;
  copy.setAttribute('style', `background: ${back}`);
  copy.querySelector(':scope > g')?.removeAttribute('transform');
  return new XMLSerializer().serializeToString(copy);
}

/** The scene as a PNG, twice as fine as the screen, at most 8000 pixels wide or high. */
export async function asPng(canvas: Canvas): Promise<Blob> {
  const { width, height } = canvas.scene;
  const scale = Math.min(2, 8000 / Math.max(width, height));
  const url = URL.createObjectURL(new Blob([asSvg(canvas)], { type: 'image/svg+xml' }));
  try {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    const surface = document.createElement('canvas');
    surface.width = Math.ceil(width * scale);
    surface.height = Math.ceil(height * scale);
    const context = surface.getContext('2d');
    if (!context) throw new Error('this browser gives no surface to paint on');
    context.fillStyle = getComputedStyle(canvas.element.closest('.cntk-lab') ?? canvas.element).backgroundColor;
    context.fillRect(0, 0, surface.width, surface.height);
    context.drawImage(picture, 0, 0, surface.width, surface.height);
    return await new Promise((resolve, reject) => {
      surface.toBlob(blob => (blob ? resolve(blob) : reject(new Error('the picture is too large'))), 'image/png');
    });
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Hand a file to the user. */
export function download(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
