// The list of plugins, nothing else.
import { commands } from './commands';
import { models } from './document';

export default [commands, models];
