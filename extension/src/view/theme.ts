// Colours and styles: JupyterLab's own where it defines them, readable ones elsewhere; light and dark.

/** A colour for each dynamic axis: the batch axis and the default sequence axis have their own, others by order of name. */
export function axisColours(axes: Iterable<string>): Map<string, string> {
  const colours = new Map([['#', 'var(--cl-axis-batch)'], ['*', 'var(--cl-axis-0)']]);
  const others = [...new Set(axes)].filter(axis => !colours.has(axis)).sort();
  others.forEach((axis, i) => {
    colours.set(axis, `var(--cl-axis-${1 + (i % 6)})`);
  });
  return colours;
}

/** A colour of the overlay's scale, from cool (0) to warm (1), as CSS. */
export function scaleColour(fraction: number): string {
  const f = Math.max(0, Math.min(1, fraction));
  return `color-mix(in oklab, var(--cl-warm) ${Math.round(f * 100)}%, var(--cl-cool))`;
}

const LIGHT = `
  --cl-back: var(--jp-layout-color1, #fff); --cl-panel: var(--jp-layout-color1, #fff); --cl-raised: #fff;
  --cl-text: #1b2733; --cl-quiet: #516071; --cl-line: #c5cfda; --cl-edge: #7b8a9b; --cl-brand: #1257b5;
  --cl-block: #e8f0fb; --cl-open: #f4f8fd; --cl-open-line: #a8bfdd; --cl-group: #f1edfa; --cl-input: #e4f3e8; --cl-alarm: #b00020;
  --cl-alarm-back: #fdeaea; --cl-match: #fff0b3; --cl-cool: #e3edf9; --cl-warm: #f2915a; --cl-parameter: #80520f;
  --cl-axis-batch: #566779; --cl-axis-0: #006b58; --cl-axis-1: #a2440a; --cl-axis-2: #6a2fd0; --cl-axis-3: #ab1863;
  --cl-axis-4: #035d94; --cl-axis-5: #3f6a10; --cl-axis-6: #855b0b;`;
const DARK = `
  --cl-back: var(--jp-layout-color1, #111820); --cl-panel: var(--jp-layout-color1, #111820); --cl-raised: #232c37;
  --cl-text: #e8eef5; --cl-quiet: #aab8c7; --cl-line: #465463; --cl-edge: #8797a9; --cl-brand: #8ab8ff;
  --cl-block: #22344d; --cl-open: #1a2431; --cl-open-line: #46638a; --cl-group: #342b4d; --cl-input: #1d3a2a; --cl-alarm: #ff8a93;
  --cl-alarm-back: #4a2026; --cl-match: #5c4c12; --cl-cool: #24374f; --cl-warm: #a8501e; --cl-parameter: #e5b878;
  --cl-axis-batch: #a9bacb; --cl-axis-0: #4fd1b3; --cl-axis-1: #ffb27d; --cl-axis-2: #c4a7ff; --cl-axis-3: #ff9cc8;
  --cl-axis-4: #7cc7ff; --cl-axis-5: #b6dd7c; --cl-axis-6: #ecc567;`;

export const STYLE = `
.cntk-lab { ${LIGHT}
  color: var(--cl-text); background: var(--cl-back); border: 1px solid var(--cl-line); border-radius: 6px; overflow: hidden;
  font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif); display: flex; flex-direction: column; container-type: inline-size; }
[data-jp-theme-light="false"] .cntk-lab, .vscode-dark .cntk-lab, .cntk-lab[data-dark] { ${DARK} }
.cntk-lab * { box-sizing: border-box; }
.cntk-lab button, .cntk-lab input, .cntk-lab select { font: inherit; color: var(--cl-text); background: var(--cl-raised);
  border: 1px solid var(--cl-line); border-radius: 4px; padding: 2px 8px; min-height: 26px; margin: 0; }
.cntk-lab button { cursor: pointer; }
.cntk-lab button:hover { border-color: var(--cl-brand); }
.cntk-lab :focus-visible { outline: 2px solid var(--cl-brand); outline-offset: 1px; }
.cntk-bar { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; padding: 6px 8px; border-bottom: 1px solid var(--cl-line); }
.cntk-bar .cntk-name { font-weight: 600; margin-right: 4px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 15em; }
.cntk-bar input[type=search] { flex: 1 1 150px; min-width: 110px; max-width: 300px; }
.cntk-found { color: var(--cl-quiet); min-width: 5.5em; }
.cntk-found.wrong { color: var(--cl-alarm); }
.cntk-gap { flex: 1; }
.cntk-together { display: inline-flex; gap: 6px; }
.cntk-bar select { max-width: 132px; }
.cntk-feed[hidden] { display: none; }
.cntk-feed { background: var(--cl-open); font-variant-numeric: tabular-nums; }
.cntk-time { display: inline-flex; gap: 6px; align-items: center; margin-left: 14px; }
.cntk-place { min-width: 6em; text-align: center; }
.cntk-grip { height: 9px; flex: none; cursor: ns-resize; border-top: 1px solid var(--cl-line); background: var(--cl-back); touch-action: none; position: relative; }
.cntk-grip::after { content: ''; position: absolute; left: calc(50% - 18px); top: 3px; width: 36px; height: 2px; border-radius: 2px; background: var(--cl-line); }
.cntk-grip:hover::after, .cntk-grip:focus-visible::after { background: var(--cl-brand); }
.cntk-lab:fullscreen { border: none; border-radius: 0; }
.cntk-lab:fullscreen .cntk-body { flex: 1; height: auto; }
.cntk-lab:fullscreen .cntk-grip { display: none; }
.cntk-body { display: flex; min-height: 0; height: var(--cl-height, 460px); }
.cntk-canvas { flex: 1; min-width: 0; position: relative; overflow: hidden; touch-action: none; }
.cntk-canvas > svg { width: 100%; height: 100%; display: block; cursor: grab; user-select: none; }
.cntk-canvas.moving > svg { cursor: grabbing; }
.cntk-crumbs { position: absolute; left: 8px; top: 6px; display: flex; gap: 2px; align-items: center; flex-wrap: wrap; font-size: 12px; max-width: 80%; }
.cntk-crumbs:empty { display: none; }
.cntk-crumbs button { border: none; background: var(--cl-back); padding: 0 4px; min-height: 22px; color: var(--cl-brand); max-width: 16em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.cntk-legend { position: absolute; left: 8px; bottom: 6px; display: flex; gap: 4px 12px; flex-wrap: wrap; font-size: 11px; color: var(--cl-quiet);
  background: var(--cl-back); border-radius: 4px; padding: 1px 6px; max-width: calc(100% - 240px); }
.cntk-legend .bar { display: inline-block; width: 80px; height: 8px; border-radius: 4px; margin: 0 5px; background: linear-gradient(90deg in oklab, var(--cl-cool), var(--cl-warm)); border: 1px solid var(--cl-line); }
.cntk-tip { position: absolute; z-index: 2; pointer-events: none; white-space: pre-line; font-size: 12px; max-width: 320px; overflow-wrap: anywhere;
  background: var(--cl-raised); color: var(--cl-text); border: 1px solid var(--cl-line); border-radius: 4px; padding: 4px 8px; box-shadow: 0 2px 8px #0003; }
.cntk-tip[hidden] { display: none; }
.cntk-tip::first-line { font-weight: 600; }
.cntk-zoomer { position: absolute; right: 8px; bottom: 6px; display: flex; }
.cntk-lab .cntk-zoomer button { border-radius: 0; margin-left: -1px; padding: 0 7px; min-height: 24px; font-size: 12px; opacity: .92; }
.cntk-lab .cntk-zoomer button:first-child { border-radius: 4px 0 0 4px; }
.cntk-lab .cntk-zoomer button:last-child { border-radius: 0 4px 4px 0; }
.cntk-side { width: 250px; flex: none; border-left: 1px solid var(--cl-line); overflow: auto; background: var(--cl-panel); }
.cntk-side[hidden] { display: none; }
@container (max-width: 660px) { .cntk-body { flex-direction: column; height: auto; } .cntk-canvas { flex: none; height: 340px; } .cntk-side { width: auto; border-left: none; border-top: 1px solid var(--cl-line); max-height: 260px; } }
.cntk-map { display: block; width: 100%; height: 120px; border-bottom: 1px solid var(--cl-line); cursor: pointer; }
.cntk-map .there { fill: var(--cl-line); }
.cntk-map .there.open { fill: var(--cl-open); stroke: var(--cl-open-line); stroke-width: 1; vector-effect: non-scaling-stroke; }
.cntk-map .here { fill: none; stroke: var(--cl-brand); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.cntk-inspector { padding: 8px 10px; }
.cntk-inspector h3 { margin: 0 0 2px; font-size: 14px; overflow-wrap: anywhere; color: var(--cl-text); }
.cntk-inspector h4 { margin: 10px 0 2px; font-size: 12px; color: var(--cl-quiet); font-weight: 600; }
.cntk-inspector dl { display: grid; grid-template-columns: auto 1fr; gap: 1px 8px; margin: 4px 0; font-size: 12px; }
.cntk-inspector dt { color: var(--cl-quiet); font-weight: 400; white-space: nowrap; }
.cntk-inspector dd { margin: 0; overflow-wrap: anywhere; }
.cntk-inspector .wide { grid-column: 1 / -1; }
.cntk-inspector dd.wide { margin-left: 12px; }
.cntk-inspector details { font-size: 12px; margin: 6px 0; }
.cntk-inspector summary { cursor: pointer; color: var(--cl-brand); min-height: 24px; line-height: 24px; }
.cntk-inspector code { font-family: var(--jp-code-font-family, monospace); font-size: 11px; overflow-wrap: anywhere; color: var(--cl-text); background: none; }
.cntk-inspector details p { white-space: pre-line; }
.cntk-inspector p { margin: 4px 0; font-size: 12px; color: var(--cl-quiet); }
.cntk-inspector .problem { color: var(--cl-alarm); }
.cntk-inspector ul { list-style: none; margin: 0; padding: 0; font-size: 12px; }
.cntk-inspector li button { border: none; background: none; padding: 0; min-height: 24px; color: var(--cl-brand); text-align: left; overflow-wrap: anywhere; }
.cntk-inspector canvas { image-rendering: pixelated; display: block; box-sizing: content-box; border: 1px solid var(--cl-line); margin-top: 4px; }
.cntk-inspector .histogram { width: 100%; height: 44px; display: block; margin-top: 4px; }
.cntk-inspector .histogram rect { fill: var(--cl-brand); }
.cntk-message { padding: 20px; color: var(--cl-quiet); }
.cntk-message.wrong { color: var(--cl-alarm); }
.cntk-node { cursor: pointer; outline: none; }
.cntk-node .card { fill: var(--cl-raised); stroke: var(--cl-line); stroke-width: 1.2; }
.cntk-node.block .card { fill: var(--cl-block); }
.cntk-node.group .card, .cntk-node.repeat .card { fill: var(--cl-group); }
.cntk-node.input .card, .cntk-node.placeholder .card, .cntk-node.output .card { fill: var(--cl-input); }
.cntk-node.output .card { stroke: var(--cl-text); }
.cntk-node.parameter .card, .cntk-node.constant .card { fill: var(--cl-raised); stroke-dasharray: 3 2; }
.cntk-node.open > .card { fill: var(--cl-open); stroke: var(--cl-open-line); }
.cntk-node.painted:not(.open) .card { fill: var(--paint); }
.cntk-node.alarm .card { fill: var(--cl-alarm-back); stroke: var(--cl-alarm); stroke-width: 2; }
.cntk-node.match:not(.open) .card { fill: var(--cl-match); }
.cntk-node.match .card { stroke: var(--cl-text); }
.cntk-node.added .card { stroke: var(--cl-axis-0); stroke-width: 2.5; }
.cntk-node.removed .card { stroke: var(--cl-alarm); stroke-width: 2.5; stroke-dasharray: 6 3; }
.cntk-node.changed .card { stroke: var(--cl-axis-1); stroke-width: 2.5; }
.cntk-node:hover > .card { stroke: var(--cl-brand); }
.cntk-node.selected > .card { stroke: var(--cl-brand); stroke-width: 2.5; }
.cntk-node:focus-visible > .card { stroke: var(--cl-brand); stroke-width: 3; stroke-dasharray: none; }
.cntk-node text { fill: var(--cl-text); font: 11px var(--jp-ui-font-family, system-ui, sans-serif); pointer-events: none; }
.cntk-node .title { font-weight: 600; font-size: 13px; }
.cntk-node .more { fill: var(--cl-quiet); }
.cntk-node .held { fill: var(--cl-parameter); }
.cntk-node .told { font-weight: 600; fill: var(--cl-axis-1); }
.cntk-node.added .told { fill: var(--cl-axis-0); }
.cntk-node.removed .told { fill: var(--cl-alarm); }
.cntk-legend .mark { display: inline-block; width: 14px; height: 10px; border-radius: 3px; border: 2px solid; margin-right: 4px; vertical-align: -1px; }
.cntk-legend .mark.added { border-color: var(--cl-axis-0); }
.cntk-legend .mark.removed { border-color: var(--cl-alarm); border-style: dashed; }
.cntk-legend .mark.changed { border-color: var(--cl-axis-1); }
.cntk-node .value { font-size: 10.5px; font-weight: 600; text-anchor: end; paint-order: stroke; stroke: var(--cl-back); stroke-width: 3px; }
.cntk-node .sign { fill: var(--cl-brand); font-size: 15px; font-weight: 600; text-anchor: middle; }
.cntk-edge path { fill: none; stroke: var(--cl-edge); stroke-width: 1.3; }
.cntk-edge { cursor: pointer; }
.cntk-edge path.reach, .cntk-edge.recurrent path.reach, .cntk-edge.near path.reach { stroke: transparent; stroke-width: 12; stroke-dasharray: none; }
.cntk-edge:hover path:not(.reach) { stroke: var(--cl-brand); }
.cntk-edge.recurrent path { stroke-dasharray: 5 3; stroke: var(--cl-axis-2); }
.cntk-edge.near path { stroke: var(--cl-brand); stroke-width: 2; }
.cntk-edge text { font: 10.5px var(--jp-ui-font-family, system-ui, sans-serif); fill: var(--cl-quiet); paint-order: stroke; stroke: var(--cl-back); stroke-width: 4px; stroke-linejoin: round; pointer-events: none; }
.cntk-edge.crowded text { display: none; }
.cntk-edge.inner text { stroke: var(--cl-open); }
.cntk-edge .axis { font-weight: 600; }
.cntk-arrow { fill: var(--cl-edge); }
.cntk-hidden-words { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: no-preference) { .cntk-node .card { transition: fill .15s; } }
`;
