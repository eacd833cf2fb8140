// One chart: lines over steps (uPlot), zoom by dragging, values under the pointer, a marked step. Knows no runs.
import uPlot from 'uplot';
import { aligned, brief, type Line, valueAt } from '../model/series';
import { html } from './dom';

export interface Curve extends Line {
  /** The run it belongs to; lines of one run share a colour. */
  run: number;
  label: string;
  colour: string;
  look: 'line' | 'faint' | 'dashed';
}

export interface Marks {
  /** Steps at which something was changed. */
  changes: readonly number[];
  /** The step that is pointed at; null: none. */
  chosen: number | null;
}

export interface ChartHost {
  /** A step was clicked. */
  choose(step: number): void;
  /** The pointer is over a step; null: it has left. */
  hover(step: number | null): void;
}

const HEIGHT = 230;
const SYNC = 'cntk-monitor';
/** Largest quotient of two values on a logarithmic scale. */
const MOST_DECADES = 1e12;

export class Chart {
  readonly element: HTMLElement;
  private readonly stage = html('div', { class: 'cntk-stage', role: 'img' });
  private readonly legend = html('div', { class: 'cntk-keys' });
  private plot: uPlot | null = null;
  private curves: readonly Curve[] = [];
  private marks: Marks = { changes: [], chosen: null };
  private shape = '';
  private logarithmic = false;
  private zoomed = false;
  private down = 0;
  private readonly values: HTMLElement[] = [];

  constructor(
    private readonly title: string,
    private readonly host: ChartHost,
    group: string,
    signal: AbortSignal
  ) {
    this.group = `${SYNC}-${group}`;
    this.element = html('section', { class: 'cntk-chart', 'aria-label': title }, html('h3', {}, title), this.stage, this.legend);
    const watch = new ResizeObserver(() => {
      const width = this.stage.clientWidth;
      if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
      else if (!this.plot) this.draw();
    });
    watch.observe(this.stage);
    signal.addEventListener('abort', () => {
      watch.disconnect();
      this.plot?.destroy();
    });
  }

  private readonly group: string;

  /** Show other curves; zoom and pointer stay. */
  set(curves: readonly Curve[], marks: Marks, logarithmic: boolean): void {
    this.curves = curves;
    this.marks = marks;
    const shape = `${logarithmic}|${curves.map(c => `${c.label}/${c.colour}/${c.look}`).join('|')}`;
    if (shape !== this.shape || logarithmic !== this.logarithmic) {
      this.shape = shape;
      this.logarithmic = logarithmic;
      this.plot?.destroy();
      this.plot = null;
    }
    if (this.plot) this.plot.setData(this.data(), !this.zoomed);
    else this.draw();
    if (this.plot && this.zoomed) this.plot.redraw();
    this.describe();
    this.fill(null);
  }

  /** Show all steps again. */
  reset(): void {
    this.zoomed = false;
    this.plot?.setData(this.data(), true);
  }

  /** Values at a step, or the last ones. */
  fill(step: number | null): void {
    this.curves.filter(c => c.look !== 'faint').forEach((curve, i) => {
      const cell = this.values[i];
      if (cell) cell.textContent = brief(step === null ? lastOf(curve) : valueAt(curve, step));
    });
  }

  /** Draw again, for example in other colours. */
  redraw(): void {
    this.shape = '';
    this.set(this.curves, this.marks, this.logarithmic);
  }

  private data(): uPlot.AlignedData {
    const rows = aligned(this.curves.map(c => ({ x: c.x, y: this.logarithmic ? c.y.map(v => (v !== null && v > 0 ? v : null)) : c.y })));
    return rows as uPlot.AlignedData;
  }

  private draw(): void {
    const width = this.stage.clientWidth;
    if (!width || !this.curves.length) return;
    const style = getComputedStyle(this.element);
    const ink = style.getPropertyValue('--cl-quiet').trim() || '#516071';
    const grid = { stroke: style.getPropertyValue('--cl-line').trim() || '#ccd', width: 0.5 };
    const font = `11px ${style.fontFamily}`;
    const axis = { stroke: ink, font, grid, ticks: { ...grid, size: 4 } };
    const colour = (name: string) => style.getPropertyValue(name).trim() || '#888';
    this.plot = new uPlot(
      {
        width,
        height: HEIGHT,
        legend: { show: false },
        cursor: { sync: { key: this.group, setSeries: false }, drag: { x: true, y: false, dist: 6 }, points: { size: 6 } },
        scales: { x: { time: false }, y: this.logarithmic ? { distr: 3, log: 10, range: paddedLog } : { range: padded } },
        axes: [{ ...axis, size: 26, values: (_, ticks) => ticks.map(v => (Number.isInteger(v) ? v.toLocaleString('en') : '')) }, { ...axis, size: 52, values: (_, ticks) => ticks.map(v => (v === null ? '' : brief(v, 3))) }],
        series: [
          {},
          ...this.curves.map(curve => ({
            label: curve.label,
            stroke: colour(curve.colour),
            width: curve.look === 'faint' ? 1 : 2,
            alpha: curve.look === 'faint' ? 0.28 : 1,
            ...(curve.look === 'dashed' ? { dash: [6, 4] } : {}),
            points: { show: curve.look === 'dashed', size: 5, fill: colour(curve.colour) },
            spanGaps: false
          }))
        ],
        hooks: {
          draw: [plot => this.paintMarks(plot, colour('--cl-axis-1'), colour('--cl-brand'))],
          setSelect: [plot => { this.zoomed = plot.select.width > 6 || this.zoomed; }],
          setCursor: [plot => {
            const left = plot.cursor.left ?? -1;
            const step = left < 0 ? null : plot.posToVal(left, 'x');
            this.fill(step);
            this.host.hover(step);
          }]
        }
      },
      this.data(),
      this.stage
    );
    this.plot.over.addEventListener('mousedown', event => { this.down = event.clientX; });
    this.plot.over.addEventListener('click', event => {
      if (this.plot && Math.abs(event.clientX - this.down) < 4) this.host.choose(Math.max(0, Math.round(this.plot.posToVal(event.offsetX, 'x'))));
    });
    this.plot.over.addEventListener('dblclick', () => this.reset());
    this.keys();
  }

  private keys(): void {
    this.values.length = 0;
    this.legend.replaceChildren(
      ...this.curves.filter(c => c.look !== 'faint').map(curve => {
        const value = html('b', {}, '');
        this.values.push(value);
        const sign = html('i', { class: curve.look === 'dashed' ? 'dashed' : '', style: `border-color: var(${curve.colour})`, 'aria-hidden': 'true' });
        return html('span', {}, sign, `${curve.label} `, value);
      })
    );
    this.fill(null);
  }

  private paintMarks(plot: uPlot, change: string, chosen: string): void {
    const { ctx, bbox } = plot;
    const line = (step: number, colour: string, dash: number[]) => {
      const x = Math.round(plot.valToPos(step, 'x', true));
      if (x < bbox.left || x > bbox.left + bbox.width) return;
      ctx.save();
      ctx.strokeStyle = colour;
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash(dash.map(d => d * devicePixelRatio));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.restore();
    };
    for (const step of this.marks.changes) line(step, change, [2, 3]);
    if (this.marks.chosen !== null) line(this.marks.chosen, chosen, []);
  }

  private describe(): void {
    const words = this.curves.filter(c => c.look !== 'faint').map(c => `${c.label} ${brief(lastOf(c))}`);
    this.stage.setAttribute('aria-label', `${this.title} over steps: ${words.join(', ') || 'nothing yet'}`);
  }
}

function lastOf(curve: Line): number | null {
  for (let i = curve.y.length - 1; i >= 0; i--) if (curve.y[i] !== null) return curve.y[i] ?? null;
  return null;
}

function paddedLog(_: uPlot, low: number | null, high: number | null): [number, number] {
  if (low === null || high === null || !(high > 0) || low <= 0) return [0.1, 1];
  // a metric that fades to nothing would take hundreds of decades; numbers near 1e-308 have no scale at all
  const top = Math.max(high, 1e-290);
  const [from, to] = uPlot.rangeLog(Math.max(low, top / MOST_DECADES), top, 10, false);
  return [from ?? 0.1, to ?? 1];
}

function padded(_: uPlot, low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
}
