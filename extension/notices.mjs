// Licence texts of everything that esbuild put into our bundles, and of what those packages carry inside: one text file
// beside the bundles, so that it is in every wheel.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Package folders (node_modules/x or node_modules/@scope/x) from which a bundle took files. */
function packagesOf(metafiles) {
  const folders = new Set();
  for (const { inputs } of metafiles)
    for (const path of Object.keys(inputs)) {
      const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path);
      if (found) folders.add(found[1]);
    }
  return [...folders].sort();
}

function licenceOf(folder) {
  const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find(name => /^licen[cs]e/i.test(name));
  if (!file) throw new Error(`${about.name} ${about.version} is bundled, but has no licence file to pass on`);
  return `${about.name} ${about.version} (${about.license})\n\n${readFileSync(join(folder, file), 'utf8').trim()}`;
}

/** Write the notices of some bundles to a file. */
export function writeNotices(metafiles, target) {
  const inside = existsSync('notices') ? readdirSync('notices').sort() : [];
  const texts = [
    ...packagesOf(metafiles).map(licenceOf),
    ...inside.map(name => readFileSync(join('notices', name), 'utf8').trim())
  ];
  const line = '-'.repeat(80);
  writeFileSync(target, `Third-party software in the widgets of CNTK Lab\n\n${texts.map(t => `${line}\n${t}\n`).join('\n')}`);
}
