// Mime renderer: an output (or a .cntkgraph.json file) that carries a graph is drawn without a kernel.
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';
import { sharedEngine } from '../model/engine';
import { GRAPH_MIME as MIME } from '../model/saved';
import { GraphPane } from '../view/graphPane';

const nobody = { opened: () => undefined, selected: () => undefined, values: null, feed: null, pdf: null };

class Renderer extends Widget implements IRenderMime.IRenderer {
  private readonly pane = new GraphPane(nobody, sharedEngine());

  constructor() {
    super();
    this.addClass('cntk-lab-document');
    this.node.append(this.pane.element);
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    await this.pane.setGraph(model.data[MIME], firstOpen(model.metadata));
  }

  override dispose(): void {
    this.pane.dispose();
    super.dispose();
  }
}

function firstOpen(metadata: { [key: string]: unknown }): string[] {
  const own = metadata[MIME] as { opened?: unknown } | undefined;
  return Array.isArray(own?.opened) ? own.opened.filter(uid => typeof uid === 'string') : [];
}

const extension: IRenderMime.IExtension = {
  id: 'cntk-lab:mime',
  // hostile names are text nodes here, so that an untrusted notebook may show its graphs too
  rendererFactory: { safe: true, mimeTypes: [MIME], createRenderer: () => new Renderer() },
  rank: 0,
  dataType: 'json',
  fileTypes: [{ name: 'cntk-graph', displayName: 'CNTK Lab graph', extensions: ['.cntkgraph.json'], mimeTypes: [MIME], fileFormat: 'text' }],
  documentWidgetFactoryOptions: { name: 'CNTK Lab graph', primaryFileType: 'cntk-graph', fileTypes: ['cntk-graph'], defaultFor: ['cntk-graph'] }
};

export default extension;
