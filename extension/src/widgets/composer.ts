// anywidget entry.
import { render } from '../view/composer';

export default { render };
