// anywidget entry.
import { render } from '../view/preview';

export default { render };
