// Styles of the reader preview; colours come from theme.ts.
export const PREVIEW_STYLE = `
.cntk-preview .cntk-bar { gap: 8px; }
.cntk-preview button:disabled { opacity: .45; cursor: default; }
.cntk-preview label { display: inline-flex; align-items: center; gap: 5px; color: var(--cl-quiet); white-space: nowrap; }
.cntk-preview input[type=number] { width: 84px; }
.cntk-preview h3 { margin: 0 0 4px; font-size: 12px; color: var(--cl-quiet); font-weight: 600; }
.cntk-preview p { margin: 2px 0; font-size: 12px; color: var(--cl-quiet); overflow-wrap: anywhere; }
.cntk-preview section { padding: 8px 10px; border-top: 1px solid var(--cl-line); }
.cntk-preview section[hidden] { display: none; }
.cntk-page { color: var(--cl-quiet); font-variant-numeric: tabular-nums; }
.cntk-streams { border-collapse: collapse; font-size: 12px; margin: 6px 10px; }
.cntk-streams th, .cntk-streams td { text-align: left; padding: 1px 14px 1px 0; font-weight: 400; overflow-wrap: anywhere; color: var(--cl-text); background: none; }
.cntk-streams thead th { color: var(--cl-quiet); }
.cntk-streams tbody th { font-weight: 600; }
.cntk-streams .wrong { color: var(--cl-alarm); }
.cntk-samples { list-style: none; margin: 0; padding: 8px 10px; max-height: 460px; overflow: auto; border-top: 1px solid var(--cl-line); }
.cntk-samples.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 8px; }
.cntk-samples li { min-width: 0; }
.cntk-samples:not(.grid) > li { display: grid; grid-template-columns: minmax(40px, 90px) 1fr; gap: 2px 10px; padding: 4px 0; border-bottom: 1px solid var(--cl-line); }
.cntk-id { color: var(--cl-quiet); font-size: 11px; overflow-wrap: anywhere; }
.cntk-preview .cntk-cells { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 3px 10px; align-items: start; }
.cntk-preview .cntk-cells dt, .cntk-preview .cntk-cells dd { float: none; width: auto; padding: 0; margin: 0; }
.cntk-cells dt { color: var(--cl-quiet); font-size: 11px; font-weight: 400; max-width: 12em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.cntk-cells dd { min-width: 0; font-size: 12px; overflow-wrap: anywhere; }
.cntk-samples dl { margin: 0; }
.grid .cntk-cells dt { max-width: 4.5em; }
.cntk-preview .grid .cntk-cells { column-gap: 5px; }
.grid .cntk-cells dt.image { grid-column: 1 / -1; max-width: none; }
.grid:not(.several) .cntk-cells dt.image { display: none; }
.grid .cntk-cells dd.image { grid-column: 1 / -1; }
.cntk-preview canvas { display: block; height: auto; image-rendering: pixelated; max-width: 100%; border: 1px solid var(--cl-line); border-radius: 3px; }
.cntk-preview .picture { padding: 0; border: none; background: none; min-height: 24px; display: block; }
.cntk-preview .picture.chosen canvas { border-color: var(--cl-brand); box-shadow: 0 0 0 2px var(--cl-brand); }
.cntk-preview svg.curve { display: block; width: 100%; max-width: 600px; height: 44px; }
.cntk-preview svg.curve polyline { fill: none; stroke: var(--cl-brand); stroke-width: 1; vector-effect: non-scaling-stroke; }
.cntk-token { display: inline-block; background: var(--cl-block); color: var(--cl-text); border-radius: 3px; padding: 0 5px; margin: 1px 3px 1px 0; overflow-wrap: anywhere; max-width: 100%; white-space: pre-wrap; }
.cntk-token i { font-style: normal; color: var(--cl-quiet); margin-left: 4px; }
.cntk-rest { color: var(--cl-quiet); }
.cntk-matches { display: grid; grid-template-columns: minmax(0, 220px) minmax(90px, 1fr) minmax(0, 220px); gap: 6px 0; align-items: center; max-width: 860px; }
.cntk-end { border: 1.5px solid var(--cl-axis-0); border-radius: 5px; background: var(--cl-open); padding: 2px 8px; font-size: 12px; overflow-wrap: anywhere; min-height: 38px; }
.cntk-end b { display: block; }
.cntk-end span { color: var(--cl-quiet); }
.cntk-end.wrong { border-color: var(--cl-alarm); }
.cntk-end.unused { border-color: var(--cl-line); border-style: dashed; }
.cntk-joint { text-align: center; font-size: 12px; color: var(--cl-axis-0); padding: 0 6px; border-bottom: 2px solid var(--cl-axis-0); align-self: center; margin-bottom: 10px; }
.cntk-joint.wrong { color: var(--cl-alarm); border-bottom: 2px dashed var(--cl-alarm); font-weight: 600; }
.cntk-joint.unused { color: var(--cl-quiet); border: none; }
.cntk-fix { grid-column: 1 / -1; font-size: 12px; color: var(--cl-text); margin: -2px 0 6px; overflow-wrap: anywhere; }
.cntk-steps { display: flex; flex-wrap: wrap; gap: 12px; list-style: none; margin: 4px 0 0; padding: 0; }
.cntk-steps li { max-width: 240px; font-size: 12px; }
.cntk-zoomed { overflow: auto; max-height: 460px; margin: 6px 0; }
.cntk-preview .cntk-zoomed canvas { max-width: none; cursor: crosshair; }
.cntk-steps b { display: block; }
.cntk-steps span { display: block; color: var(--cl-quiet); overflow-wrap: anywhere; }
.cntk-figures { display: flex; flex-wrap: wrap; gap: 10px 28px; }
.cntk-figures > div { min-width: 220px; max-width: 420px; flex: 1 1 240px; }
.cntk-preview svg.bars { display: block; width: 100%; height: 70px; }
.cntk-preview svg.bars rect { fill: var(--cl-brand); }
.cntk-ends { display: flex; justify-content: space-between; font-size: 11px; color: var(--cl-quiet); font-variant-numeric: tabular-nums; }
.cntk-classes { display: grid; grid-template-columns: minmax(20px, max-content) 1fr max-content; gap: 1px 8px; font-size: 12px; align-items: center; margin: 4px 0; }
.cntk-classes span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 12em; }
.cntk-classes i { height: 9px; background: var(--cl-brand); border-radius: 2px; display: block; min-width: 1px; }
.cntk-waste { font-size: 13px; color: var(--cl-text); }
.cntk-defects { list-style: none; margin: 0; padding: 0; font-size: 12px; }
.cntk-defects li { background: var(--cl-alarm-back); border-left: 3px solid var(--cl-alarm); border-radius: 3px; padding: 3px 10px; margin-top: 4px; color: var(--cl-text); }
.cntk-defects pre { margin: 0; font: 11.5px/1.35 var(--jp-code-font-family, monospace); white-space: pre-wrap; overflow-wrap: anywhere; color: var(--cl-text); background: none; padding: 0; }
.cntk-preview .cntk-notice { padding: 4px 10px 6px; font-size: 12px; color: var(--cl-quiet); min-height: 24px; overflow-wrap: anywhere; }
.cntk-preview .cntk-notice.wrong { color: var(--cl-alarm); }
`;
