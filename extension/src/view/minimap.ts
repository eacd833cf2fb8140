// The whole picture in small, beside the canvas (never over it), with a frame around what is seen.
import type { Canvas } from './canvas';
import { svg } from './dom';

export class Minimap {
  readonly element: SVGSVGElement;
  private readonly here = svg('rect', { class: 'here' });
  private drawn: unknown = null;

  constructor(
    private readonly canvas: Canvas,
    signal: AbortSignal
  ) {
    this.element = svg('svg', { class: 'cntk-map', 'aria-hidden': true, preserveAspectRatio: 'xMidYMid meet' });
    const go = (event: PointerEvent) => {
      if (!event.buttons) return;
      const matrix = this.element.getScreenCTM();
      if (!matrix) return;
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
      canvas.centre(point.x, point.y);
    };
    this.element.addEventListener('pointerdown', go, { signal });
    this.element.addEventListener('pointermove', go, { signal });
  }

  /** Follow the canvas; only seen when part of the picture is out of sight. */
  update(): void {
    const { scene, view, element } = this.canvas;
    const [x, y] = [-view.x / view.scale, -view.y / view.scale];
    const [width, height] = [element.clientWidth / view.scale, element.clientHeight / view.scale];
    const all = x <= 1 && y <= 1 && x + width >= scene.width - 1 && y + height >= scene.height - 1;
    this.element.style.display = all || !scene.width ? 'none' : '';
    if (this.drawn !== scene) {
      this.drawn = scene;
      this.element.setAttribute('viewBox', `-10 -10 ${scene.width + 20} ${scene.height + 20}`);
      const boxes = [...scene.boxes.values()].sort((a, b) => a.depth - b.depth);
      this.element.replaceChildren(
        ...boxes.map(b => svg('rect', { class: b.open ? 'there open' : 'there', x: b.x, y: b.y, width: b.width, height: b.height, rx: 6 })),
        this.here
      );
    }
    for (const [key, value] of Object.entries({ x, y, width, height })) this.here.setAttribute(key, value.toFixed(1));
  }
}
