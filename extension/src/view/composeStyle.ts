// Styles of the composer; colours come from theme.ts.
export const COMPOSE_STYLE = `
.cntk-compose .cntk-body { height: var(--cl-height, 520px); }
.cntk-compose .cntk-palette { width: 190px; flex: none; border-right: 1px solid var(--cl-line); display: flex; flex-direction: column; min-height: 0; }
.cntk-compose .cntk-palette input { margin: 6px; width: calc(100% - 12px); }
.cntk-compose .cntk-entries { flex: 1; overflow: auto; margin: 0; padding: 0 0 6px; list-style: none; }
.cntk-compose .cntk-entries [role=option] { padding: 2px 10px; cursor: grab; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.cntk-compose .cntk-entries [role=option]:hover { background: var(--cl-block); }
.cntk-compose .cntk-entries [aria-selected=true] { background: var(--cl-block); outline: 2px solid var(--cl-brand); outline-offset: -2px; }
.cntk-compose .cntk-entries [data-heading]::before { content: attr(data-heading); display: block; padding: 6px 10px 1px; font-size: 11px; font-weight: 600; color: var(--cl-quiet); }
.cntk-compose .cntk-side { width: 380px; display: flex; flex-direction: column; overflow: hidden; }
.cntk-compose .cntk-form { flex: none; max-height: 46%; overflow: auto; padding: 6px 10px; border-bottom: 1px solid var(--cl-line); }
.cntk-compose .cntk-form h3 { margin: 0 0 4px; font-size: 13px; color: var(--cl-text); }
.cntk-compose .cntk-form .fields { display: grid; grid-template-columns: auto 1fr; gap: 3px 8px; align-items: center; font-size: 12px; }
.cntk-compose .cntk-form .fields label { color: var(--cl-quiet); }
.cntk-compose .cntk-form .fields input { min-width: 0; width: 100%; font-family: var(--jp-code-font-family, monospace); font-size: 12px; min-height: 24px; }
.cntk-compose .cntk-form .fields input.set { border-color: var(--cl-brand); }
.cntk-compose .cntk-form p { margin: 2px 0 6px; color: var(--cl-quiet); font-size: 12px; }
.cntk-compose .cntk-code { flex: 1; min-height: 120px; position: relative; overflow: hidden; }
.cntk-compose .cntk-code textarea, .cntk-compose .cntk-code pre { position: absolute; inset: 0; margin: 0; padding: 8px 10px; border: none;
  font: 12px/1.5 var(--jp-code-font-family, monospace); white-space: pre; overflow: auto; tab-size: 4; letter-spacing: normal; border-radius: 0; }
.cntk-compose .cntk-code pre { color: transparent; background: var(--cl-back); overflow: hidden; }
.cntk-compose .cntk-code textarea { background: transparent; color: var(--cl-text); resize: none; width: 100%; height: 100%; }
.cntk-compose .cntk-code mark { color: transparent; background: var(--cl-match); border-radius: 2px; }
.cntk-compose .cntk-code mark.wrong { background: var(--cl-alarm-back); box-shadow: 0 2px 0 var(--cl-alarm); }
.cntk-compose .cntk-foot { display: flex; gap: 8px; align-items: center; padding: 4px 10px; border-top: 1px solid var(--cl-line); min-height: 34px; flex-wrap: wrap; }
.cntk-compose .cntk-foot.wrong { background: var(--cl-alarm-back); color: var(--cl-alarm); }
.cntk-compose .cntk-foot .words { flex: 1; min-width: 120px; overflow-wrap: anywhere; font-size: 12px; }
.cntk-compose .cntk-help { position: absolute; right: 8px; top: 8px; background: var(--cl-raised); border: 1px solid var(--cl-line); border-radius: 6px; padding: 8px 12px; font-size: 12px; max-width: 90%; }
.cntk-compose .cntk-help dl { display: grid; grid-template-columns: auto 1fr; gap: 2px 12px; margin: 0; }
.cntk-compose .cntk-help dt { font-weight: 600; } .cntk-compose .cntk-help dd { margin: 0; }
.cntk-compose .cntk-edge.wrong path { stroke: var(--cl-alarm); stroke-width: 2.6; stroke-dasharray: 6 3; }
.cntk-compose .cntk-edge.wrong text { fill: var(--cl-alarm); font-weight: 600; }
.cntk-compose .cntk-node.source > .card { stroke: var(--cl-axis-0); stroke-width: 3; }
.cntk-compose .cntk-canvas.dropping { outline: 2px dashed var(--cl-brand); outline-offset: -4px; }
.cntk-compose .cntk-code textarea { scrollbar-width: thin; scrollbar-color: var(--cl-edge) transparent; }
.cntk-compose .cntk-side:has(.cntk-form:empty) .cntk-form { display: none; }
@container (max-width: 1000px) {
  .cntk-compose .cntk-body { flex-wrap: wrap; height: calc(var(--cl-height, 520px) + 170px); align-content: stretch; }
  .cntk-compose .cntk-palette { width: 160px; height: calc(100% - 240px); }
  .cntk-compose .cntk-canvas { height: calc(100% - 240px); min-width: calc(100% - 160px); }
  .cntk-compose .cntk-side { width: 100%; height: 240px; flex-direction: row; border-left: none; border-top: 1px solid var(--cl-line); }
  .cntk-compose .cntk-form { width: 40%; max-width: 320px; max-height: none; border-bottom: none; border-right: 1px solid var(--cl-line); }
  .cntk-compose .cntk-code { min-height: 0; }
}
`;
