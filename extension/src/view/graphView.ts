// Over a widget's model: the live graph view.
import type { AnyModel, RenderProps } from '@anywidget/types';
import { sharedEngine } from '../model/engine';
import { Channel, type Wire } from '../protocol/channel';
import { GraphPane } from './graphPane';
import type { GraphViewState } from '../protocol/state';

function write<K extends keyof GraphViewState>(model: AnyModel<GraphViewState>, key: K, value: GraphViewState[K]): void {
  model.set(key, value);
  model.save_changes();
}

export async function render({ model, el }: RenderProps<GraphViewState>): Promise<() => void> {
  const channel = new Channel(model as unknown as Wire);
  const pane = new GraphPane(
    {
      opened: uids => write(model, 'opened', uids),
      selected: uid => write(model, 'selected', uid),
      values: model.get('live')
        ? async uid => {
            const reply = await channel.ask({ kind: 'inspect', uid });
            return reply.kind === 'inspected' ? reply.arrays : [];
          }
        : null,
      feed: model.get('feeds')
        ? async (what, nodes, frames) => {
            const reply = await channel.ask({ kind: 'feed', what, nodes, frames });
            return reply.kind === 'done' ? reply.message : '';
          }
        : null,
      pdf: async () => {
        const reply = await channel.ask({ kind: 'export', form: 'pdf', opened: model.get('opened') });
        if (reply.kind !== 'exported') throw new Error('the kernel sent no file');
        return new Blob([Uint8Array.from(atob(reply.content), c => c.charCodeAt(0))], { type: 'application/pdf' });
      }
    },
    sharedEngine()
  );
  el.append(pane.element);
  const listeners: Record<string, () => void> = {
    'change:graph': () => void pane.setGraph(model.get('graph'), model.get('opened')),
    'change:opened': () => void pane.setOpened(model.get('opened')),
    'change:selected': () => pane.setSelected(model.get('selected')),
    'change:fed': () => pane.setFed(model.get('fed')),
    'change:overlays': () => pane.setOverlays(model.get('overlays'))
  };
  for (const [event, listener] of Object.entries(listeners)) model.on(event as 'change:graph', listener);
  await pane.setGraph(model.get('graph'), model.get('opened'));
  pane.setOverlays(model.get('overlays'));
  pane.setSelected(model.get('selected'));
  if (model.get('fed').at !== undefined) pane.setFed(model.get('fed'));
  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event as 'change:graph', listener);
    channel.dispose();
    pane.dispose();
  };
}
