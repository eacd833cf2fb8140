// Outputs of CNTK Lab: the live widget where its model is there, else the saved view. In notebooks the renderer ranks
// before that of Jupyter's widgets, which says "model not found" for a widget whose kernel has gone.
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Panel, Widget } from '@lumino/widgets';
import { VIEW_MIME } from '../model/saved';
import { forSaved, SavedPane } from '../view/savedPane';
import { render as composer } from '../view/composer';
import { render as graphView } from '../view/graphView';
import { render as monitor } from '../view/monitor';
import { render as preview } from '../view/preview';

const WIDGET_MIME = 'application/vnd.jupyter.widget-view+json';
/** Before Jupyter's widgets, whose rank is -10. */
const RANK = -20;
/** The live view has this time to come before the saved one is drawn, in milliseconds. */
const PATIENCE = 400;

const renders = {
  composer: forSaved(composer), graphView: forSaved(graphView),
  monitor: forSaved(monitor), preview: forSaved(preview)
};

class Renderer extends Panel implements IRenderMime.IRenderer {
  private readonly saved = new SavedPane(renders);
  private live: IRenderMime.IRenderer | null = null;
  private reference = '';
  private model: IRenderMime.IMimeModel | null = null;
  private shown: unknown;
  private readonly watch = new MutationObserver(() => this.choose());

  constructor(private readonly rendermime: IRenderMimeRegistry) {
    super();
    const saved = new Widget();
    saved.node.append(this.saved.element);
    this.addWidget(saved);
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.model = model;
    const id = (model.data[WIDGET_MIME] as { model_id?: unknown } | undefined)?.model_id;
    const known = model.trusted && typeof id === 'string' && id !== '' && this.rendermime.mimeTypes.includes(WIDGET_MIME);
    if (known && (id !== this.reference || !this.isLive)) {
      this.watch.disconnect();
      this.live?.dispose();
      this.reference = id;
      this.live = this.rendermime.createRenderer(WIDGET_MIME);
      this.addWidget(this.live);
      // without a kernel, or while it starts, there is no answer
      await Promise.race([this.live.renderModel(model), new Promise(done => setTimeout(done, PATIENCE))]);
      if (this.isDisposed) return;
      // the model may come later, when the kernel has told of it, and go when the kernel ends
      this.watch.observe(this.live.node, { childList: true });
    }
    this.choose();
  }

  override dispose(): void {
    this.watch.disconnect();
    this.saved.dispose();
    super.dispose();
  }

  private get isLive(): boolean {
    return this.live instanceof Panel ? this.live.widgets.length > 0 : (this.live?.node.querySelector('.jupyter-widgets') ?? null) !== null;
  }

  private choose(): void {
    const { isLive, model } = this;
    if (this.live) this.live.node.style.display = isLive ? '' : 'none';
    this.saved.element.style.display = isLive ? 'none' : '';
    if (isLive) {
      this.saved.dispose();
      this.shown = undefined;
    } else if (model && this.shown !== model.data[VIEW_MIME]) {
      this.shown = model.data[VIEW_MIME];
      void this.saved.show(model.data);
    }
  }
}

function register(rendermime: IRenderMimeRegistry): void {
  // saved data is text and numbers to our own code, so that an untrusted notebook may show it
  rendermime.addFactory({ safe: true, mimeTypes: [VIEW_MIME], createRenderer: () => new Renderer(rendermime) }, RANK);
}

export const savedViews: JupyterFrontEndPlugin<void> = {
  id: 'cntk-lab:saved',
  description: 'Shows widgets of CNTK Lab whose kernel has gone',
  autoStart: true,
  activate: (app: JupyterFrontEnd) => {
    app.docRegistry.addWidgetExtension('Notebook', {
      createNew: panel => {
        const { rendermime } = (panel as unknown as { content: { rendermime?: IRenderMimeRegistry } }).content;
        if (rendermime) register(rendermime);
      }
    });
  }
};
