// anywidget entry.
import { render } from '../view/monitor';

export default { render };
