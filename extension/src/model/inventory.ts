// What a kernel says of its models and runs (cntk_lab.widgets.inventory), read with suspicion. No DOM.

export interface ModelLine {
  number: number;
  names: string[];
  name: string;
  kind: string;
  /** null while shapes are open. */
  parameters: number | null;
  shape: string;
  axes: string[];
}

export interface RunLine {
  number: number;
  name: string;
  status: string;
  step: number;
  loss: number | null;
  metric: number | null;
  progress: number | null;
}

export interface Inventory {
  models: ModelLine[];
  runs: RunLine[];
  more: number;
}

export const MIME = 'application/vnd.cntk.inventory+json';
/** Of the comm on which runs are told. */
export const TARGET = 'cntk-lab-runs';
const MOST = 400;

/** Asks only where `cntk_lab` was imported: nothing is imported behind the user's back. */
export function ask(watch: boolean): string {
  const call = `__import__('importlib').import_module('cntk_lab.widgets.inventory').inventory(watch=${watch ? 'True' : 'False'})`;
  return `(${call} if 'cntk_lab' in __import__('sys').modules else None)`;
}

/** The code that shows, or closes, one thing. Only numbers get into it. */
export function callFor(what: 'show_model' | 'show_run' | 'close', number: number): string {
  if (!Number.isSafeInteger(number)) throw new Error('no number');
  return `__import__('importlib').import_module('cntk_lab.widgets.inventory').${what}(${number})`;
}

export function readInventory(data: unknown): Inventory {
  const given = (data ?? {}) as Partial<Record<keyof Inventory, unknown>>;
  return { models: list(given.models).flatMap(readModel), runs: readRuns(given.runs), more: count(given.more) };
}

export function readRuns(data: unknown): RunLine[] {
  return list(data).flatMap(entry => {
    const run = entry as Partial<RunLine> | null;
    if (!run || !Number.isSafeInteger(run.number)) return [];
    return [{ number: run.number!, name: text(run.name), status: text(run.status), step: count(run.step), loss: number(run.loss), metric: number(run.metric), progress: number(run.progress) }];
  });
}

function readModel(entry: unknown): ModelLine[] {
  const model = entry as Partial<ModelLine> | null;
  if (!model || !Number.isSafeInteger(model.number)) return [];
  return [{
    number: model.number!, names: list(model.names).map(text), name: text(model.name), kind: text(model.kind),
    parameters: number(model.parameters), shape: text(model.shape), axes: list(model.axes).map(text)
  }];
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value.slice(0, MOST) : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 200) : '';
}

function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? Math.floor(value) : 0;
}
