// What the user prefers, as set in JupyterLab's settings; the same for every bundle of a page. Where there are no settings
// (VS Code, Colab, a page without the extension) the defaults hold. No DOM.

export interface Preferences {
  graph: { maximumVisibleNodes: number; direction: 'auto' | 'down' | 'right'; shapes: boolean; inspector: boolean; height: number };
  monitor: { refreshRate: number; smoothing: number; logarithmic: boolean };
  sidebar: { enabled: boolean; side: 'left' | 'right' };
}

/** The defaults; schema/plugin.json says the same, and a test holds the two in step. */
export const DEFAULTS: Preferences = {
  graph: { maximumVisibleNodes: 300, direction: 'auto', shapes: true, inspector: true, height: 460 },
  monitor: { refreshRate: 5, smoothing: 0.9, logarithmic: false },
  sidebar: { enabled: true, side: 'left' }
};

/** Smallest and largest of every number. */
export const LIMITS: Readonly<Record<string, readonly [number, number]>> = {
  'graph.maximumVisibleNodes': [20, 300],
  'graph.height': [200, 2000],
  'monitor.refreshRate': [0.2, 5],
  'monitor.smoothing': [0, 0.99]
};
/** The words that may stand where a word stands. */
export const WORDS: Readonly<Record<string, readonly string[]>> = {
  'graph.direction': ['auto', 'down', 'right'],
  'sidebar.side': ['left', 'right']
};

interface Shared {
  values: Preferences;
  listeners: Set<() => void>;
}

// a widget's bundle and the JupyterLab extension are different modules of one page
const place = globalThis as { __cntkLabPreferences?: Shared };

function shared(): Shared {
  place.__cntkLabPreferences ??= { values: DEFAULTS, listeners: new Set() };
  return place.__cntkLabPreferences;
}

export function preferences(): Preferences {
  return shared().values;
}

/** Hear of changes until the signal ends it. */
export function onPreferences(listener: () => void, signal: AbortSignal): void {
  const { listeners } = shared();
  listeners.add(listener);
  signal.addEventListener('abort', () => listeners.delete(listener));
}

/** Take what a settings file says; what is missing or no value of its kind is as by default. */
export function setPreferences(given: unknown): void {
  const values = readPreferences(given);
  if (JSON.stringify(values) === JSON.stringify(preferences())) return;
  shared().values = values;
  for (const listener of [...shared().listeners]) listener();
}

export function readPreferences(given: unknown): Preferences {
  const values = structuredClone(DEFAULTS) as unknown as Record<string, Record<string, unknown>>;
  for (const [group, defaults] of Object.entries(DEFAULTS)) {
    const from = isTable(given) && isTable(given[group]) ? given[group] : {};
    for (const [name, usual] of Object.entries(defaults as Record<string, unknown>)) values[group]![name] = fit(`${group}.${name}`, from[name], usual);
  }
  return values as unknown as Preferences;
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fit(path: string, value: unknown, usual: unknown): unknown {
  if (typeof value !== typeof usual) return usual;
  if (typeof value === 'string') return WORDS[path]!.includes(value) ? value : usual;
  if (typeof value !== 'number') return value;
  const [low, high] = LIMITS[path]!;
  if (!Number.isFinite(value)) return usual;
  const within = Math.min(high, Math.max(low, value));
  return Number.isInteger(usual) && path.startsWith('graph.') ? Math.round(within) : within;
}
