// anywidget entry.
import { render } from '../view/graphView';

export default { render };
