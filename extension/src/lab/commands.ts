// What the launcher and the command palette offer: a notebook that starts with CNTK Lab, and the tutorials.
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { icon } from './icon';
import { askServer } from './server';

const CATEGORY = 'CNTK Lab';

const NOTEBOOK = {
  cells: [
    { cell_type: 'code', id: 'import', execution_count: null, metadata: {}, outputs: [], source: 'import cntk_lab as C' }
  ],
  metadata: { kernelspec: { name: 'python3', display_name: 'Python 3 (ipykernel)', language: 'python' } },
  nbformat: 4,
  nbformat_minor: 5
};

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

    add('cntk-lab:new-notebook', 'CNTK Lab notebook', 'Start a notebook with CNTK Lab imported', async () => {
      const folder = browser?.model.path ?? '';
      const fresh = await contents.newUntitled({ path: folder, type: 'notebook' });
      await contents.save(fresh.path, { ...fresh, type: 'notebook', format: 'json', content: NOTEBOOK });
      return app.commands.execute('docmanager:open', { path: fresh.path });
    }, 1);

    add('cntk-lab:tutorials', 'Tutorials', 'Open a copy of the CNTK Lab tutorials', async () => {
      const { folder, first } = await askServer<{ folder: string; first: string | null }>(app.serviceManager.serverSettings, 'tutorials');
      if (browser) await browser.model.cd(`/${folder}`);
      return first ? app.commands.execute('docmanager:open', { path: first }) : undefined;
    }, 2);
  }
};
