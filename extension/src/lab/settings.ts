// JupyterLab's settings of CNTK Lab (schema/plugin.json), handed to everything on the page.
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { setPreferences } from '../model/preferences';

export const SETTINGS = 'cntk-lab:plugin';

export const settings: JupyterFrontEndPlugin<void> = {
  id: SETTINGS,
  description: 'Settings of CNTK Lab',
  autoStart: true,
  requires: [ISettingRegistry],
  activate: async (_app: JupyterFrontEnd, registry: ISettingRegistry) => {
    const loaded = await registry.load(SETTINGS);
    const take = () => setPreferences(loaded.composite);
    loaded.changed.connect(take);
    take();
  }
};
