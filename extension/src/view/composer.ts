// Over a widget's model: the composer.
import type { AnyModel, RenderProps } from '@anywidget/types';
import { sharedEngine } from '../model/engine';
import { Channel, type Wire } from '../protocol/channel';
import { ComposePane, type ComposeState } from './composePane';
import type { ComposerState } from '../protocol/state';

function stateOf(model: AnyModel<ComposerState>): ComposeState {
  return {
    graph: model.get('graph'), source: model.get('source'), wrong: model.get('wrong'), told: model.get('told'),
    form: model.get('form_shown'), spans: model.get('spans'), history: model.get('history'),
    costs: model.get('costs'), total: model.get('total'), unused: model.get('unused')
  };
}

export async function render({ model, el }: RenderProps<ComposerState>): Promise<() => void> {
  const channel = new Channel(model as unknown as Wire);
  const pane = new ComposePane(
    {
      edit: async request => {
        const reply = await channel.ask({ kind: 'compose', ...request });
        return reply.kind === 'done' ? reply.message : '';
      },
      selected: uid => {
        model.set('selected', uid);
        model.save_changes();
      }
    },
    sharedEngine(),
    model.get('palette'),
    model.get('templates')
  );
  el.append(pane.element);
  // several traits change with one edit: draw once
  let waiting = false;
  const show = () => {
    if (waiting) return;
    waiting = true;
    queueMicrotask(() => {
      waiting = false;
      void pane.setState(stateOf(model));
    });
  };
  const listeners: Record<string, () => void> = {
    'change:graph': show, 'change:source': show, 'change:wrong': show, 'change:told': show, 'change:spans': show, 'change:history': show,
    'change:form_shown': () => pane.setForm(model.get('form_shown')),
    'change:selected': () => pane.setSelected(model.get('selected'))
  };
  for (const [event, listener] of Object.entries(listeners)) model.on(event as 'change:graph', listener);
  pane.setSelected(model.get('selected'));
  await pane.setState(stateOf(model));
  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event as 'change:graph', listener);
    channel.dispose();
    pane.dispose();
  };
}
