// Styles of the training monitor, and the part of uPlot's that is used; colours come from theme.ts.
export const MONITOR_STYLE = `
.cntk-monitor .cntk-bar { gap: 8px; }
.cntk-monitor button:disabled { opacity: .45; cursor: default; }
.cntk-monitor button.main { background: var(--cl-brand); border-color: var(--cl-brand); color: var(--cl-back); font-weight: 600; min-width: 82px; }
.cntk-status { border-radius: 10px; padding: 1px 9px; font-size: 12px; font-weight: 600; background: var(--cl-block); color: var(--cl-text); }
.cntk-status.running { background: var(--cl-input); }
.cntk-status.paused { background: var(--cl-match); }
.cntk-status.failed { background: var(--cl-alarm-back); color: var(--cl-alarm); }
.cntk-progress { display: flex; align-items: center; gap: 10px; padding: 6px 10px; border-bottom: 1px solid var(--cl-line); flex-wrap: wrap; font-variant-numeric: tabular-nums; }
.cntk-progress progress { appearance: none; flex: 1 1 160px; height: 8px; border: none; border-radius: 4px; overflow: hidden; background: var(--cl-block); }
.cntk-progress progress::-webkit-progress-bar { background: var(--cl-block); border-radius: 4px; }
.cntk-progress progress::-webkit-progress-value { background: var(--cl-brand); border-radius: 4px; transition: width .2s linear; }
.cntk-progress progress::-moz-progress-bar { background: var(--cl-brand); }
.cntk-facts { color: var(--cl-quiet); display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 12px; }
.cntk-facts b { color: var(--cl-text); font-weight: 600; }
.cntk-monitor label { display: inline-flex; align-items: center; gap: 5px; color: var(--cl-quiet); white-space: nowrap; }
.cntk-monitor input[type=text], .cntk-monitor input[type=number] { width: 84px; }
.cntk-monitor input[type=range] { width: 90px; padding: 0; min-height: 24px; accent-color: var(--cl-brand); }
.cntk-monitor input[type=checkbox] { min-height: 0; width: 15px; height: 15px; accent-color: var(--cl-brand); }
.cntk-monitor input.changed { border-color: var(--cl-axis-1); }
.cntk-charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(320px, 100%), 1fr)); gap: 4px 14px; padding: 6px 10px 8px; }
.cntk-chart { min-width: 0; }
.cntk-chart h3 { margin: 2px 0 2px; font-size: 12px; color: var(--cl-quiet); font-weight: 600; }
.cntk-stage { min-height: 230px; overflow: hidden; }
.cntk-keys { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 12px; color: var(--cl-quiet); padding-left: 8px; min-height: 20px; }
.cntk-keys b { color: var(--cl-text); font-variant-numeric: tabular-nums; display: inline-block; min-width: 3.6em; font-weight: 600; }
.cntk-keys i { display: inline-block; width: 18px; border-top: 2.5px solid; vertical-align: middle; margin-right: 5px; }
.cntk-keys i.dashed { border-top-style: dashed; }
.cntk-findings { list-style: none; margin: 0; padding: 0 10px 8px; font-size: 12.5px; }
.cntk-findings:empty { display: none; }
.cntk-findings li { background: var(--cl-alarm-back); border-left: 3px solid var(--cl-alarm); border-radius: 3px; padding: 4px 10px; margin-top: 5px; overflow-wrap: anywhere; color: var(--cl-text); }
.cntk-findings b { color: var(--cl-alarm); }
.cntk-notice { padding: 0 10px 8px; font-size: 12px; color: var(--cl-quiet); min-height: 24px; overflow-wrap: anywhere; }
.cntk-notice.wrong { color: var(--cl-alarm); }
.cntk-foot { border-top: 1px solid var(--cl-line); border-bottom: none; }
.cntk-monitor .uplot { line-height: 1.5; width: min-content; font: inherit; }
.cntk-monitor .u-wrap { position: relative; user-select: none; }
.cntk-monitor .u-over, .cntk-monitor .u-under { position: absolute; }
.cntk-monitor .u-under { overflow: hidden; }
.cntk-monitor .uplot canvas { display: block; position: relative; width: 100%; height: 100%; }
.cntk-monitor .u-axis { position: absolute; }
.cntk-monitor .u-select { background: color-mix(in srgb, var(--cl-brand) 16%, transparent); position: absolute; pointer-events: none; }
.cntk-monitor .u-cursor-x, .cntk-monitor .u-cursor-y { position: absolute; left: 0; top: 0; pointer-events: none; }
.cntk-monitor .u-hz .u-cursor-x { height: 100%; border-right: 1px dashed var(--cl-edge); }
.cntk-monitor .u-hz .u-cursor-y { display: none; }
.cntk-monitor .u-cursor-pt { position: absolute; top: 0; left: 0; border-radius: 50%; border: 0 solid; pointer-events: none; }
.cntk-monitor .u-off { display: none; }
`;
