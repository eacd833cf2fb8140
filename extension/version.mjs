// Puts the version of the Python package, which is written in cntk_lab/__init__.py alone, into the built extension.
import { readFileSync, writeFileSync } from 'node:fs';

const found = /^__version__ = "([^"]+)"/m.exec(readFileSync('../cntk_lab/__init__.py', 'utf8'));
if (!found) throw new Error('cntk_lab/__init__.py has no line __version__ = "..."');
const built = '../cntk_lab/labextension/package.json';
const { name, ...rest } = JSON.parse(readFileSync(built, 'utf8'));
writeFileSync(built, `${JSON.stringify({ name, version: found[1], ...rest }, null, 2)}\n`);
