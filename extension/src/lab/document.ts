// Model files open from the file browser as graphs: the server reads them (without executing anything), no kernel is needed.
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ABCWidgetFactory, type DocumentRegistry, DocumentWidget, TextModelFactory } from '@jupyterlab/docregistry';
import type { Contents, ServerConnection } from '@jupyterlab/services';
import { Widget } from '@lumino/widgets';
import { sharedEngine } from '../model/engine';
import type { Statistics } from '../protocol/messages';
import { html } from '../view/dom';
import { GraphPane } from '../view/graphPane';
import { icon } from './icon';
import { askServer } from './server';

const NAME = 'CNTK Lab model';
const TYPES = [
  { name: 'cntk-model', displayName: 'CNTK model', extensions: ['.model', '.cntk', '.dnn'] },
  { name: 'onnx-model', displayName: 'ONNX model', extensions: ['.onnx'] }
];

/** Stands for a file whose content the browser never loads. */
class PathFactory extends TextModelFactory {
  override get name(): string {
    return 'cntk-lab-path';
  }
  override get contentType(): Contents.ContentType {
    return 'file';
  }
  override get fileFormat(): Contents.FileFormat {
    return null;
  }
}

interface Answer {
  graph: { nodes: readonly { id: string; host?: string }[] };
  opened: string[];
  arrays: Record<string, Statistics>;
}

class ModelDocument extends Widget {
  /** What the server found in the file: statistics of parameters, and the parameters on each node. */
  private arrays: Record<string, Statistics> = {};
  private readonly hosted = new Map<string, string[]>();
  private readonly values = (uid: string) => Promise.resolve([uid, ...(this.hosted.get(uid) ?? [])].flatMap(id => this.arrays[id] ?? []));
  private readonly pane = new GraphPane({ opened: () => undefined, selected: () => undefined, values: this.values, feed: null, pdf: null }, sharedEngine());
  private readonly words = html('p', { class: 'cntk-model-words', role: 'status' });

  constructor(private readonly context: DocumentRegistry.IContext<DocumentRegistry.IModel>, private readonly settings: ServerConnection.ISettings, private readonly local: (path: string) => string) {
    super();
    this.addClass('cntk-lab-document');
    this.node.append(this.words, this.pane.element);
    void context.ready.then(() => this.read());
    context.fileChanged.connect(() => void this.read());
  }

  override dispose(): void {
    this.pane.dispose();
    super.dispose();
  }

  private async read(): Promise<void> {
    this.words.textContent = 'The model is read …';
    this.pane.element.style.display = '';
    try {
      const answer = await askServer<Answer>(this.settings, 'graph', { path: this.local(this.context.path) });
      if (this.isDisposed) return;
      this.words.textContent = '';
      this.arrays = answer.arrays;
      this.hosted.clear();
      for (const { id, host } of answer.graph.nodes) if (host !== undefined) this.hosted.set(host, [...(this.hosted.get(host) ?? []), id]);
      await this.pane.setGraph(answer.graph, answer.opened);
    } catch (error) {
      this.words.textContent = error instanceof Error ? error.message : String(error);
      this.pane.element.style.display = 'none'; // it would say for ever that it draws
    }
  }
}

class ModelFactory extends ABCWidgetFactory<DocumentWidget<ModelDocument>> {
  constructor(private readonly app: JupyterFrontEnd, options: DocumentRegistry.IWidgetFactoryOptions) {
    super(options);
  }

  protected createNewWidget(context: DocumentRegistry.IContext<DocumentRegistry.IModel>): DocumentWidget<ModelDocument> {
    const { serverSettings, contents } = this.app.serviceManager;
    const content = new ModelDocument(context, serverSettings, path => contents.localPath(path));
    const widget = new DocumentWidget({ content, context });
    widget.title.icon = icon;
    return widget;
  }
}

export const models: JupyterFrontEndPlugin<void> = {
  id: 'cntk-lab:models',
  description: 'Opens model files as graphs',
  autoStart: true,
  activate: (app: JupyterFrontEnd) => {
    const { docRegistry } = app;
    docRegistry.addModelFactory(new PathFactory());
    for (const type of TYPES) docRegistry.addFileType({ ...type, icon, contentType: 'file', fileFormat: 'base64', mimeTypes: ['application/octet-stream'] });
    const names = TYPES.map(type => type.name);
    const factory = new ModelFactory(app, { name: NAME, modelName: 'cntk-lab-path', readOnly: true, fileTypes: names, defaultFor: names });
    // JupyterLab's own base class leaves undefined what its interface wants left out
    docRegistry.addWidgetFactory(factory as unknown as DocumentRegistry.WidgetFactory);
  }
};
