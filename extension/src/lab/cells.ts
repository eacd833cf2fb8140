// Widgets may ask for a cell: it is put below the cell that they are shown in, and run.
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

interface Cell {
  node: HTMLElement;
  model: { sharedModel: { setSource(source: string): void } };
}

/** What of a notebook is needed; notebooks of JupyterLab and Notebook 7 have it. */
interface Cells {
  widgets: readonly Cell[];
  activeCell: Cell | null;
  activeCellIndex: number;
}

function isCells(content: unknown): content is Cells {
  return typeof content === 'object' && content !== null && 'widgets' in content && 'activeCellIndex' in content;
}

export const cells: JupyterFrontEndPlugin<void> = {
  id: 'cntk-lab:cells',
  description: 'Cells that widgets of CNTK Lab ask for',
  autoStart: true,
  activate: (app: JupyterFrontEnd) => {
    document.addEventListener('cntk-lab-cell', event => {
      const { detail } = event as CustomEvent<{ source?: unknown }>;
      const content = (app.shell.currentWidget as { content?: unknown } | null)?.content;
      if (typeof detail?.source !== 'string' || !isCells(content)) return;
      const at = content.widgets.findIndex(cell => cell.node.contains(event.target as Node));
      if (at < 0) return;
      event.preventDefault();
      const { source } = detail;
      content.activeCellIndex = at;
      void (async () => {
        await app.commands.execute('notebook:insert-cell-below');
        content.activeCell?.model.sharedModel.setSource(source);
        await app.commands.execute('notebook:run-cell');
      })();
    });
  }
};
