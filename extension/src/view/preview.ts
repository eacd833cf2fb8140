// Over a widget's model: the reader preview.
import type { RenderProps } from '@anywidget/types';
import { Channel, type Wire } from '../protocol/channel';
import { PreviewPane } from './previewPane';
import type { PreviewState } from '../protocol/state';

export async function render({ model, el }: RenderProps<PreviewState>): Promise<() => void> {
  const channel = new Channel(model as unknown as Wire);
  const pane = new PreviewPane({
    browse: async (to, number) => {
      const reply = await channel.ask({ kind: 'browse', to, number });
      return reply.kind === 'done' ? reply.message : '';
    }
  });
  const listeners = {
    'change:content': () => pane.setContent(model.get('content')),
    'change:traced': () => pane.setTraced(model.get('traced')),
    'change:matched': () => pane.setMatches(model.get('matched')),
    'change:measured': () => {
      const measured = model.get('measured');
      pane.setMeasured(measured);
      // counted after the page is there, and again for another size
      if (measured.lengths === undefined) void pane.ask('statistics');
    }
  };
  for (const [event, listener] of Object.entries(listeners)) {
    model.on(event as 'change:content', listener);
    listener();
  }
  el.append(pane.element);
  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event as 'change:content', listener);
    channel.dispose();
    pane.dispose();
  };
}
