// The list of plugins, nothing else.
import { commands } from './commands';
import { models } from './document';
import { settings } from './settings';
import { sidebar } from './sidebar';

export default [settings, commands, models, sidebar];
