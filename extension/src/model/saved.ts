// A widget's saved data, and a model made of it that stands where a kernel's model would: what was kept is answered,
// all else is said to need the kernel. Data of strangers: it is read, never run.
import type { Reply, Request } from '../protocol/messages';

export const VIEW_MIME = 'application/vnd.cntk-lab.view+json';
export const GRAPH_MIME = 'application/vnd.cntk.graph+json';
export const SAVED_WORDS = 'Saved view; run the cell to make it live.';

export interface SavedView {
  view: string;
  state: Record<string, unknown>;
  /** Messages of the widget: content and bytes. */
  told: [unknown, DataView][];
  /** Contents that were looked at. */
  pages: { number?: unknown }[];
}

type Listener = (...what: unknown[]) => void;

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** JSON with its bytes: `{base64: text}` becomes a DataView. */
function revived(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revived);
  if (!isRecord(value)) return value;
  const keys = Object.keys(value);
  if (keys.length === 1 && typeof value.base64 === 'string') return new DataView(Uint8Array.from(atob(value.base64), c => c.charCodeAt(0)).buffer);
  return Object.fromEntries(keys.map(key => [key, revived(value[key])]));
}

/** The view of an output, MIME type -> data; null where it has none: another version, or too long to be kept. */
export function readView(output: Readonly<Record<string, unknown>>): SavedView | null {
  const data = output[VIEW_MIME];
  if (!isRecord(data) || data.version !== 1 || typeof data.view !== 'string' || !isRecord(data.state)) return null;
  const told = Array.isArray(data.told) ? data.told : [];
  const pages = Array.isArray(data.pages) ? data.pages : [];
  return {
    view: data.view,
    // a graph has a type of its own beside the view, and lies there once
    state: { graph: output[GRAPH_MIME], ...(revived(data.state) as Record<string, unknown>) },
    told: (revived(told) as unknown[]).filter((entry): entry is [unknown, DataView] => Array.isArray(entry) && entry[1] instanceof DataView),
    pages: (revived(pages) as unknown[]).filter(isRecord)
  };
}

/** What the front end of a widget needs of its model, from saved data. */
export class SavedModel {
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly state: Record<string, unknown>;

  constructor(private readonly saved: SavedView) {
    this.state = { ...saved.state, _bundle: 'saved' };
  }

  get(key: string): unknown {
    return this.state[key];
  }

  /** As with a kernel's model, nobody hears of what is the same as before: views answer what they hear. */
  set(key: string, value: unknown): void {
    const before = this.state[key];
    this.state[key] = value;
    if (before === value || JSON.stringify(before) === JSON.stringify(value)) return;
    this.fire(`change:${key}`);
  }

  save_changes(): void {
    // nobody is there to be told
  }

  on(event: string, listener: Listener): void {
    const known = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, known.add(listener));
  }

  off(event: string, listener: Listener): void {
    this.listeners.get(event)?.delete(listener);
  }

  send(content: unknown): void {
    const { number, request } = content as { number: number; request: Request };
    queueMicrotask(() => this.fire('msg:custom', { number, reply: this.answer(request) }, []));
  }

  private answer(request: Request): Reply {
    if (request.kind === 'all') {
      for (const [content, bytes] of this.saved.told) this.fire('msg:custom', content, [bytes]);
      return { kind: 'done', message: '' };
    }
    if (request.kind === 'browse' && this.turn(request.to, request.number)) return { kind: 'done', message: '' };
    return { kind: 'failed', message: SAVED_WORDS };
  }

  /** To a page that was looked at; statistics were counted before the view was kept, or never. */
  private turn(to: string, number: number): boolean {
    if (to === 'statistics') return true;
    const at = Number((this.state.content as { number?: unknown } | undefined)?.number);
    const wanted = to === 'next' ? at + 1 : to === 'previous' ? at - 1 : to === 'go' ? number : -1;
    const page = this.saved.pages.find(content => content.number === wanted);
    if (page) this.set('content', page);
    return page !== undefined;
  }

  private fire(event: string, ...what: unknown[]): void {
    for (const listener of [...(this.listeners.get(event) ?? [])]) listener(...what);
  }
}
