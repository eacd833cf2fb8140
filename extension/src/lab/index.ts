// The list of plugins, nothing else.
import { commands } from './commands';

export default [commands];
