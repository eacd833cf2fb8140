// Over a widget's model: the training monitor.
import type { AnyModel, RenderProps } from '@anywidget/types';
import { Channel, type Wire } from '../protocol/channel';
import type { Curve, Reply } from '../protocol/messages';
import { MonitorPane, type Settings } from './monitorPane';
import type { MonitorState } from '../protocol/state';

type State = MonitorState & { _bundle: string | { model_id: string } };

/** Settings of the view that was shown last, by kernel and first run: when a run ends its output is drawn anew. */
const kept = new Map<string, Settings>();

const words = (reply: Reply): string => (reply.kind === 'done' ? reply.message : '');

export async function render({ model, el }: RenderProps<State>): Promise<() => void> {
  const channel = new Channel(model as unknown as Wire);
  const pane = new MonitorPane({
    act: async (run, action, step) => words(await channel.ask({ kind: 'act', run, action, step })),
    set: async (run, what, value) => words(await channel.ask({ kind: 'set', run, what, value })),
    live: model.get('_bundle') !== 'saved'
  });
  el.append(pane.element);
  const told = (content: unknown, buffers: DataView[]): void => {
    const curve = content as Partial<Curve>;
    const view = buffers?.[0];
    if (curve.kind !== 'curve' || curve.run === undefined || !view) return;
    // a copy: buffers may lie at any address
    const values = new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) as ArrayBuffer);
    pane.take(curve.run, curve.width ?? 1, curve.first ?? 0, values);
  };
  const custom = told as Parameters<AnyModel<State>['on']>[1];
  const show = () => pane.setRuns(model.get('runs'), model.get('details'));
  const listeners: Record<string, () => void> = {
    'change:runs': show,
    'change:details': show,
    'change:notice': () => pane.say(model.get('notice'))
  };
  model.on('msg:custom', custom);
  for (const [event, listener] of Object.entries(listeners)) model.on(event as 'change:runs', listener);
  show();
  if (model.get('notice')) pane.say(model.get('notice'));
  const bundle = model.get('_bundle'); // one for each kernel
  const key = `${typeof bundle === 'string' ? bundle : bundle.model_id}/${model.get('runs')[0]?.number}`;
  const before = kept.get(key);
  if (before) pane.settings = before;
  // at once: the new view is there before the old one goes
  for (const event of ['input', 'change', 'click']) pane.element.addEventListener(event, () => kept.set(key, pane.settings));
  channel.ask({ kind: 'all' }).catch(() => pane.say('The kernel does not answer: the run is shown as it was.', true));
  return () => {
    model.off('msg:custom', custom);
    for (const [event, listener] of Object.entries(listeners)) model.off(event as 'change:runs', listener);
    channel.dispose();
    pane.dispose();
  };
}
