/**
 * Builds the runtime: one bundle per program in `src/main` and what they share, the shell fronts of `charm/bin` and the Node that runs them.
 *
 * It is built beside its place and swapped in by rename, so that whoever runs a program finds the old or the new runtime.
 */
import { build } from 'esbuild';
import { chmod, cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { placeFile, swapFolder } from './place.ts';
import { thirdPartyText } from './third-party.ts';

// CommonJS packages inside an ES module bundle still call `require` for Node's own modules, and ask for their directory.
const banner = `import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url); const __dirname = import.meta.dirname;`;

/** Builds into `<root>/dist/runtime`, with the Node that runs this build. */
export async function buildRuntime(root: string): Promise<string> {
  const runtime = join(root, 'dist', 'runtime');
  const making = `${runtime}.${process.pid}`;
  await makeRuntime(root, making, process.execPath);
  await swapFolder(making, runtime);
  return runtime;
}

/** Makes a runtime in a folder that is not there yet; the same sources give the same bytes on every machine. */
export async function makeRuntime(root: string, into: string, node: string): Promise<void> {
  await mkdir(join(into, 'bin'), { recursive: true });
  const programs = (await readdir(join(root, 'src', 'main'))).filter((name) => name.endsWith('.ts'));
  const { metafile } = await build({
    entryPoints: programs.map((name) => ({ in: join(root, 'src', 'main', name), out: basename(name, '.ts') })),
    outdir: join(into, 'lib'),
    // The bundles name their sources in comments, relative to this and not to where the build was called.
    absWorkingDir: root,
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'esm',
    // What only some destinations need is read from disk by those who use it: half of the processor time of a segment.
    splitting: true,
    banner: { js: banner },
    external: ['pg-native', 'cpu-features', '*.node'],
    // Its file for ES modules, of which only the checksum in use is taken: every program reads its bundle at every start.
    alias: { 'hash-wasm': join(root, 'node_modules', 'hash-wasm', 'dist', 'index.esm.js') },
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
  });
  // Without it Node asks the directories above what a .js file is, and one of them may say CommonJS.
  await writeFile(join(into, 'lib', 'package.json'), '{ "type": "module" }\n');
  await writeFile(join(into, 'THIRD-PARTY.txt'), await thirdPartyText(root, Object.keys(metafile.inputs)));
  await cp(join(root, 'charm', 'bin'), join(into, 'bin'), { recursive: true });
  for (const front of await readdir(join(into, 'bin'))) await chmod(join(into, 'bin', front), 0o755);
  await placeFile(node, join(into, 'bin', 'node'));
  await chmod(join(into, 'bin', 'node'), 0o755);
}

if (import.meta.main) {
  const runtime = await buildRuntime(join(import.meta.dirname, '..', '..'));
  process.stdout.write(`built ${runtime}\n`);
}
