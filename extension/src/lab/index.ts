// The list of plugins, nothing else.
import { cells } from './cells';
import { commands } from './commands';
import { models } from './document';
import { savedViews } from './saved';
import { settings } from './settings';
import { sidebar } from './sidebar';

export default [settings, cells, commands, models, savedViews, sidebar];
