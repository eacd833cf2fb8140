// Bundles tests/*.test.ts and runs them with node's own test runner.
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { build } from 'esbuild';

rmSync('.test', { recursive: true, force: true });
await build({
  entryPoints: readdirSync('tests').filter(f => f.endsWith('.test.ts')).map(f => `tests/${f}`),
  outdir: '.test', outExtension: { '.js': '.mjs' }, bundle: true, format: 'esm', platform: 'node', target: 'node20',
  sourcemap: 'inline', logLevel: 'warning'
});
const files = readdirSync('.test').map(f => `.test/${f}`);
process.exit(spawnSync(process.execPath, ['--enable-source-maps', '--test', ...files], { stdio: 'inherit' }).status ?? 1);
