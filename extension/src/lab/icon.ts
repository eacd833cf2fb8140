// The sign of CNTK Lab: three nodes and the edges between them.
import { LabIcon } from '@jupyterlab/ui-components';

export const icon = new LabIcon({
  name: 'cntk-lab:icon',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">' +
    '<g class="jp-icon3" fill="none" stroke="#616161" stroke-width="1.8"><path d="M7.500 10.700 16.500 6M7.500 13.300 16.500 18M19 8v8"/></g>' +
    '<g class="jp-icon3" fill="#616161"><circle cx="5" cy="12" r="3"/><circle cx="19" cy="5" r="3"/><circle cx="19" cy="19" r="3"/></g></svg>'
});
