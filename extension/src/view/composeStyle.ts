// Styles of the composer; colours come from theme.ts.
export const COMPOSE_STYLE = `
.cntk-compose .cntk-body { height: var(--cl-height, 520px); }
.cntk-compose .cntk-palette { width: 216px; flex: none; border-right: 1px solid var(--cl-line); display: flex; flex-direction: column; min-height: 0; }
.cntk-compose .cntk-palette input { margin: 6px; width: calc(100% - 12px); }
.cntk-compose .cntk-entries { flex: 1; overflow: auto; margin: 0; padding: 0 0 6px; list-style: none; }
.cntk-compose .cntk-entries [role=option] { padding: 3px 8px; cursor: grab; display: flex; gap: 8px; align-items: center; }
.cntk-compose .cntk-entries .entry { min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.cntk-compose .cntk-entries small { display: block; color: var(--cl-quiet); font-size: 11px; overflow: hidden; text-overflow: ellipsis; }
.cntk-compose .sign:not(text) { flex: none; width: 22px; height: 22px; border-radius: 5px; display: inline-grid; place-items: center; font-size: 13px; background: var(--kind, var(--cl-block)); color: var(--cl-text); }
.cntk-compose .cntk-entries [role=option]:hover { background: var(--cl-block); }
.cntk-compose .cntk-entries [aria-selected=true] { background: var(--cl-block); outline: 2px solid var(--cl-brand); outline-offset: -2px; }
.cntk-compose .cntk-entries [data-heading]::before { content: attr(data-heading); display: block; padding: 6px 10px 1px; font-size: 11px; font-weight: 600; color: var(--cl-quiet); }
.cntk-compose .cntk-side { width: 380px; display: flex; flex-direction: column; overflow: hidden; }
.cntk-compose .cntk-form { flex: none; max-height: 46%; overflow: auto; padding: 6px 10px; border-bottom: 1px solid var(--cl-line); }
.cntk-compose .cntk-form h3 { margin: 0 0 4px; font-size: 13px; color: var(--cl-text); }
.cntk-compose .cntk-form .fields { display: grid; grid-template-columns: auto 1fr; gap: 3px 8px; align-items: center; font-size: 12px; }
.cntk-compose .cntk-form .fields label { color: var(--cl-quiet); }
.cntk-compose .cntk-form .fields input { min-width: 0; width: 100%; font-family: var(--jp-code-font-family, monospace); font-size: 12px; min-height: 24px; }
.cntk-compose .cntk-form .fields input[type=checkbox] { width: 18px; height: 18px; min-height: 0; justify-self: start; accent-color: var(--cl-brand); }
.cntk-compose .cntk-form .fields select { min-width: 0; width: 100%; min-height: 26px; font-size: 12px; }
.cntk-compose .cntk-form .fields .set { border-color: var(--cl-brand); }
.cntk-compose .cntk-form .fields .set:not([type=checkbox]) { font-weight: 600; }
.cntk-compose .cntk-form .with-unit { display: flex; gap: 6px; align-items: center; min-width: 0; }
.cntk-compose .cntk-form .unit { color: var(--cl-quiet); font-size: 11px; flex: none; }
.cntk-compose .cntk-form p.facts { color: var(--cl-text); font-weight: 600; }
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
.cntk-compose .cntk-node:focus-visible { outline: none; }
.cntk-compose .cntk-node.unused > .card { stroke-dasharray: 5 3; fill: var(--cl-back); }
.cntk-compose .cntk-node.result > .card { stroke-width: 2.4; stroke: var(--cl-axis-0); }
.cntk-compose .cntk-node .remark { font-size: 10.5px; fill: var(--cl-quiet); }
.cntk-compose .cntk-node .remark.result { fill: var(--cl-axis-0); font-weight: 600; }
.cntk-compose .cntk-node.picked > .card, .cntk-compose .cntk-node.aimed > .card { stroke: var(--cl-brand); stroke-width: 3; stroke-dasharray: none; }
.cntk-compose .cntk-node[data-group]:not([data-group='']):not(.alarm):not(.unused):not(.open) > .card { fill: var(--kind); }
.cntk-compose .cntk-port { fill: var(--cl-raised); stroke: var(--cl-brand); stroke-width: 1.6; opacity: 0; cursor: crosshair; }
.cntk-compose .cntk-node:hover .cntk-port, .cntk-compose .cntk-node.selected .cntk-port, .cntk-compose svg.connecting .cntk-port.in { opacity: 1; }
.cntk-compose .cntk-port:hover { fill: var(--cl-brand); }
.cntk-compose .cntk-wire { fill: none; stroke: var(--cl-brand); stroke-width: 2.4; stroke-dasharray: 6 3; pointer-events: none; }
.cntk-compose .cntk-frame { fill: var(--cl-brand); fill-opacity: 0.08; stroke: var(--cl-brand); stroke-width: 1; pointer-events: none; }
.cntk-compose .cntk-edge.aimed path { stroke: var(--cl-brand); stroke-width: 4; }
.cntk-compose .cntk-total { font-size: 12px; color: var(--cl-quiet); white-space: nowrap; margin-left: auto; }
.cntk-compose .cntk-foot.wrong .cntk-total { color: inherit; }
.cntk-compose .cntk-menu { position: absolute; z-index: 3; background: var(--cl-raised); border: 1px solid var(--cl-line); border-radius: 6px; padding: 4px; font-size: 12.5px; box-shadow: 0 4px 16px rgb(0 0 0 / 22%); min-width: 190px; }
.cntk-compose .cntk-menu [role=menuitem] { display: flex; gap: 16px; justify-content: space-between; padding: 4px 8px; border-radius: 4px; cursor: pointer; }
.cntk-compose .cntk-menu [role=menuitem]:hover, .cntk-compose .cntk-menu [role=menuitem]:focus { background: var(--cl-block); outline: none; }
.cntk-compose .cntk-menu [aria-disabled] { color: var(--cl-quiet); cursor: not-allowed; text-decoration: line-through; text-decoration-color: var(--cl-line); }
.cntk-compose .cntk-menu kbd { font: inherit; color: var(--cl-quiet); }
.cntk-compose [hidden] { display: none !important; }
.cntk-compose .cntk-start { position: absolute; inset: 0; z-index: 2; overflow: auto; background: var(--cl-back); padding: 12px 14px; display: flex; flex-direction: column; gap: 10px; align-items: flex-start; }
.cntk-compose .cntk-start p { margin: 0; color: var(--cl-quiet); }
.cntk-compose .cntk-start .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 8px; width: 100%; }
.cntk-compose .cntk-start .card { display: flex; gap: 10px; align-items: center; text-align: left; padding: 8px 10px; min-height: 58px; }
.cntk-compose .cntk-start .card small { display: block; color: var(--cl-quiet); font-size: 11.5px; line-height: 1.3; }
.cntk-compose .cntk-files input { flex: 1 1 220px; max-width: 360px; }
.cntk-compose .cntk-files .words { font-size: 12px; overflow-wrap: anywhere; }
.cntk-compose .cntk-together { gap: 4px; padding-right: 6px; }
.cntk-compose .dense, .cntk-compose [data-group=dense] { --kind: color-mix(in oklab, #2f6fde 17%, var(--cl-raised)); }
.cntk-compose .convolution, .cntk-compose [data-group=convolution] { --kind: color-mix(in oklab, #0f9d8a 20%, var(--cl-raised)); }
.cntk-compose .pooling, .cntk-compose [data-group=pooling] { --kind: color-mix(in oklab, #5b8c1a 20%, var(--cl-raised)); }
.cntk-compose .normalization, .cntk-compose [data-group=normalization] { --kind: color-mix(in oklab, #b08800 20%, var(--cl-raised)); }
.cntk-compose .regularization, .cntk-compose [data-group=regularization] { --kind: color-mix(in oklab, #7a7f87 20%, var(--cl-raised)); }
.cntk-compose .recurrent, .cntk-compose [data-group=recurrent] { --kind: color-mix(in oklab, #8a4fd3 19%, var(--cl-raised)); }
.cntk-compose .attention, .cntk-compose [data-group=attention] { --kind: color-mix(in oklab, #c2348f 17%, var(--cl-raised)); }
.cntk-compose .activation, .cntk-compose [data-group=activation] { --kind: color-mix(in oklab, #d9661f 20%, var(--cl-raised)); }
.cntk-compose .loss, .cntk-compose [data-group=loss] { --kind: color-mix(in oklab, #c62f3e 17%, var(--cl-raised)); }
.cntk-compose .input { --kind: var(--cl-input); } .cntk-compose .group { --kind: var(--cl-group); }
.cntk-compose .sequence, .cntk-compose [data-group=sequence] { --kind: color-mix(in oklab, #4f7fb0 17%, var(--cl-raised)); }
.cntk-compose .operator, .cntk-compose [data-group=operator] { --kind: var(--cl-raised); }
.cntk-compose .cntk-canvas.dropping { outline: 2px dashed var(--cl-brand); outline-offset: -4px; }
.cntk-compose .cntk-code textarea { scrollbar-width: thin; scrollbar-color: var(--cl-edge) transparent; }
.cntk-compose .cntk-side:has(.cntk-form:empty) .cntk-form { display: none; }
@container (max-width: 1000px) {
  .cntk-compose .cntk-body { flex-wrap: wrap; height: calc(var(--cl-height, 520px) + 170px); align-content: stretch; }
  .cntk-compose .cntk-palette { width: 170px; height: calc(100% - 240px); }
  .cntk-compose .cntk-canvas { height: calc(100% - 240px); min-width: calc(100% - 170px); }
  .cntk-compose .cntk-side { width: 100%; height: 240px; flex-direction: row; border-left: none; border-top: 1px solid var(--cl-line); }
  .cntk-compose .cntk-form { width: 40%; max-width: 320px; max-height: none; border-bottom: none; border-right: 1px solid var(--cl-line); }
  .cntk-compose .cntk-code { min-height: 0; }
}
@container (max-width: 660px) {
  .cntk-compose .cntk-body { flex-wrap: nowrap; height: auto; }
  .cntk-compose .cntk-palette { width: 100%; height: 132px; border-right: none; border-bottom: 1px solid var(--cl-line); }
  .cntk-compose .cntk-canvas { height: calc(var(--cl-height, 520px) - 160px); min-width: 0; }
}
`;
