// The sidebar: models and runs in the kernel of the notebook in front. A click shows a graph, or a run's monitor, in a
// panel of its own that the notebook's own renderers draw.
import { ILabShell, ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { type ISessionContext, MainAreaWidget } from '@jupyterlab/apputils';
import { OutputAreaModel, SimplifiedOutputArea } from '@jupyterlab/outputarea';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { Kernel } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { SplitPanel, Widget } from '@lumino/widgets';
import { callFor } from '../model/inventory';
import { onPreferences, preferences } from '../model/preferences';
import { SidebarPane } from '../view/sidebarPane';
import { icon } from './icon';
import { KernelList } from './kernelList';
import { SETTINGS } from './settings';

const NOTHING_OPEN = 'Open a notebook: the models and runs in its kernel are listed here.';

/** A notebook or a console, as far as it matters here. */
interface Place extends Widget {
  sessionContext: ISessionContext;
}

function asPlace(widget: Widget | null): Place | null {
  const session = (widget as Partial<Place> | null)?.sessionContext;
  return session && 'iopubMessage' in session ? (widget as Place) : null;
}

/** What draws the outputs of a notebook or console, its widgets among them. */
function renderers(place: Place): IRenderMimeRegistry | null {
  const { content, console } = place as Place & { content?: { rendermime?: IRenderMimeRegistry }; console?: { rendermime?: IRenderMimeRegistry } };
  return content?.rendermime ?? console?.rendermime ?? null;
}

class Sidebar extends Widget {
  private readonly pane: SidebarPane;
  private place: Place | null = null;
  private list: KernelList | null = null;
  private readonly panels = new Map<string, MainAreaWidget>();

  constructor(private readonly app: JupyterFrontEnd, private readonly labShell: ILabShell | null) {
    super();
    this.id = 'cntk-lab-sidebar';
    this.title.icon = icon;
    this.title.caption = 'CNTK Lab: models and runs';
    this.addClass('cntk-lab-sidebar');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'CNTK Lab: models and runs');
    this.pane = new SidebarPane({
      model: line => this.open('show_model', line.number, line.names[0] ?? line.kind),
      run: line => this.open('show_run', line.number, line.name),
      refresh: () => this.list?.soon(0)
    });
    this.node.append(this.pane.element);
    this.pane.title('No notebook');
    this.pane.say(NOTHING_OPEN, true);
    app.shell.currentChanged?.connect(this.look, this);
    this.look();
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.app.shell.currentChanged?.disconnect(this.look, this);
    this.leave();
    this.pane.dispose();
    super.dispose();
  }

  protected override onAfterShow(): void {
    this.look();
    this.list?.soon(0);
  }

  /** The notebook in front; where something else is in front, the last one stays. */
  private look(): void {
    const place = asPlace(this.app.shell.currentWidget);
    if (!place || place === this.place) return;
    this.leave();
    this.place = place;
    place.disposed.connect(this.leave, this);
    place.title.changed.connect(this.name, this);
    this.name();
    this.pane.say('', true);
    this.list = new KernelList(place.sessionContext, {
      seen: () => this.isVisible,
      inventory: inventory => this.pane.show(inventory),
      runs: runs => this.pane.showRuns(runs),
      say: (words, only) => this.pane.say(words, only)
    });
  }

  private leave(): void {
    this.list?.dispose();
    this.list = null;
    this.place?.disposed.disconnect(this.leave, this);
    this.place?.title.changed.disconnect(this.name, this);
    this.place = null;
    if (this.isDisposed) return;
    this.pane.title('No notebook');
    this.pane.say(NOTHING_OPEN, true);
  }

  private name(): void {
    this.pane.title(this.place?.title.label ?? '');
  }

  private open(what: 'show_model' | 'show_run', number: number, name: string): void {
    const { place } = this;
    const kernel = this.list?.kernel;
    const rendermime = place && renderers(place);
    if (!place || !kernel || !rendermime) return;
    const key = `${kernel.id}/${what}/${number}`;
    let panel = this.panels.get(key);
    if (!panel) {
      panel = this.panel(place.sessionContext, kernel, rendermime, what, number, name);
      // beside the notebook, in one place; Notebook has one document in its main area: there panels lie below it
      const other = [...this.panels.values()].find(known => known.isAttached);
      const where = other ? ({ mode: 'tab-after', ref: other.id } as const) : ({ mode: 'split-right', ref: place.id } as const);
      if (this.labShell) this.app.shell.add(panel, 'main', { ...where, activate: false });
      else this.below(panel);
      this.panels.set(key, panel);
      panel.disposed.connect(() => this.panels.delete(key));
    }
    this.app.shell.activateById(panel.id);
  }

  /** Below the notebook, as high as one needs it to be. */
  private below(panel: Widget): void {
    this.app.shell.add(panel, 'down');
    for (let around = panel.parent; around; around = around.parent) {
      if (!(around instanceof SplitPanel) || around.orientation !== 'vertical') continue;
      if ((around.relativeSizes().at(-1) ?? 1) < 0.3) around.setRelativeSizes([1, 1]);
      return;
    }
  }

  private panel(session: ISessionContext, kernel: Kernel.IKernelConnection, rendermime: IRenderMimeRegistry, what: 'show_model' | 'show_run', number: number, name: string): MainAreaWidget {
    const content = new SimplifiedOutputArea({ model: new OutputAreaModel({ trusted: true }), rendermime });
    content.addClass('cntk-lab-panel');
    const panel = new MainAreaWidget({ content });
    panel.id = `cntk-lab-${kernel.id}-${what}-${number}`;
    panel.title.label = name;
    panel.title.caption = `${name} of ${this.place?.title.label ?? 'a notebook'}`;
    panel.title.icon = icon;
    panel.title.closable = true;
    const act = (code: string, silent: boolean) =>
      kernel.requestExecute({ code, silent, store_history: false, stop_on_error: false, allow_stdin: false });
    content.future = act(callFor(what, number), false);
    const end = () => panel.dispose();
    session.kernelChanged.connect(end);
    session.disposed.connect(end);
    panel.disposed.connect(() => {
      session.kernelChanged.disconnect(end);
      session.disposed.disconnect(end);
      if (what === 'show_model' && !kernel.isDisposed && kernel.status !== 'dead') act(callFor('close', number), true);
    });
    return panel;
  }
}

export const sidebar: JupyterFrontEndPlugin<void> = {
  id: 'cntk-lab:sidebar',
  description: 'Lists the models and runs in the kernel of the current notebook',
  autoStart: true,
  optional: [ILabShell, ILayoutRestorer, ISettingRegistry],
  activate: async (app: JupyterFrontEnd, labShell: ILabShell | null, restorer: ILayoutRestorer | null, registry: ISettingRegistry | null) => {
    let shown: Sidebar | null = null;
    let side = '';
    const place = () => {
      const wanted = preferences().sidebar;
      if (shown && (!wanted.enabled || side !== wanted.side)) {
        shown.dispose();
        shown = null;
      }
      if (!wanted.enabled || shown) return;
      shown = new Sidebar(app, labShell);
      side = wanted.side;
      app.shell.add(shown, side, { rank: 600, type: 'CNTK Lab' });
    };
    // where the settings are known, wait for them: else the panel would jump from side to side
    await registry?.load(SETTINGS).catch(() => undefined);
    place();
    if (shown) restorer?.add(shown, 'cntk-lab-sidebar');
    onPreferences(place, new AbortController().signal);
  }
};
