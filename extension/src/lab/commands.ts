// What the launcher and the command palette offer: a notebook that starts with CNTK Lab, and the tutorials.
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { icon } from './icon';
import { askServer } from './server';

const CATEGORY = 'CNTK Lab';

/** Files that the composer opens. */
const MODEL_FILE = /\.(py|cntk|dnn|model|onnx)$/i;

/** A notebook with one cell of code for each source given. */
const notebook = (...sources: string[]) => ({
  cells: sources.map((source, i) => ({ cell_type: 'code', id: `cell${i}`, execution_count: null, metadata: {}, outputs: [], source })),
  metadata: { kernelspec: { name: 'python3', display_name: 'Python 3 (ipykernel)', language: 'python' } },
  nbformat: 4,
  nbformat_minor: 5
});

const PREVIEW = `# Any minibatch source, deserializer or {stream: array} can be looked at; this one is made up.
rng = np.random.default_rng(0)
kind = rng.integers(0, 3, 500)
source = {
    "sound": [np.sin(np.linspace(0, (k + 1) * 6, n)) for k, n in zip(kind, rng.integers(40, 200, 500))],
    "kind": np.eye(3, dtype=np.float32)[kind],
}
lab.preview(source, vocabularies={"kind": ["low", "middle", "high"]})`;

export const commands: JupyterFrontEndPlugin<void> = {
  id: 'cntk-lab:commands',
  description: 'Launcher cards and palette commands of CNTK Lab',
  autoStart: true,
  optional: [ILauncher, ICommandPalette, IDefaultFileBrowser],
  activate: (app: JupyterFrontEnd, launcher: ILauncher | null, palette: ICommandPalette | null, browser: IDefaultFileBrowser | null) => {
    const { contents } = app.serviceManager;
    const add = (id: string, label: string, caption: string, execute: () => Promise<unknown>, rank: number) => {
      app.commands.addCommand(id, {
        label, caption, icon,
        describedBy: { args: { type: 'object', properties: {} } },
        execute: async () => {
          try {
            return await execute();
          } catch (error) {
            Notification.error(error instanceof Error ? error.message : String(error), { autoClose: 8000 });
            return undefined;
          }
        }
      });
      launcher?.add({ command: id, category: CATEGORY, rank });
      palette?.addItem({ command: id, category: CATEGORY });
    };

    const open = async (...sources: string[]) => {
      const folder = browser?.model.path ?? '';
      const fresh = await contents.newUntitled({ path: folder, type: 'notebook' });
      await contents.save(fresh.path, { ...fresh, type: 'notebook', format: 'json', content: notebook(...sources) });
      return app.commands.execute('docmanager:open', { path: fresh.path });
    };

    add('cntk-lab:new-notebook', 'CNTK Lab notebook', 'Start a notebook with CNTK Lab imported', () => open('import cntk_lab as C'), 1);

    add('cntk-lab:preview', 'Reader preview', 'Start a notebook that looks at the minibatches of a source',
      () => open('import numpy as np\nimport cntk_lab as C\nfrom cntk_lab import lab', PREVIEW), 3);

    add('cntk-lab:compose', 'Composer', 'Start a notebook that composes a network by hand',
      () => open('import cntk_lab as C\nfrom cntk_lab import lab', 'composer = lab.compose()\ncomposer'), 4);

    // a file of a model, or of a program, is opened by a notebook beside it
    const chosen = () => [...(browser?.selectedItems() ?? [])].find(item => MODEL_FILE.test(item.name));
    app.commands.addCommand('cntk-lab:compose-file', {
      label: 'Open in composer', caption: 'Start a notebook that composes this model further', icon,
      describedBy: { args: { type: 'object', properties: {} } },
      isVisible: () => chosen() !== undefined,
      execute: async () => {
        const name = JSON.stringify(chosen()?.name ?? '');
        const model = name.endsWith('.py"') ? name : `C.load_model(${name})`;
        return open('import cntk_lab as C\nfrom cntk_lab import lab', `composer = lab.compose(${model})\ncomposer`);
      }
    });
    app.contextMenu.addItem({ command: 'cntk-lab:compose-file', selector: '.jp-DirListing-item[data-isdir="false"]', rank: 3.5 });

    add('cntk-lab:tutorials', 'Tutorials', 'Open a copy of the CNTK Lab tutorials', async () => {
      const { folder, first } = await askServer<{ folder: string; first: string | null }>(app.serviceManager.serverSettings, 'tutorials');
      if (browser) await browser.model.cd(`/${folder}`);
      return first ? app.commands.execute('docmanager:open', { path: first }) : undefined;
    }, 2);
  }
};
