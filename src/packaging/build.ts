/**
 * Builds the runtime: one bundle per program in `src/main`, the shell fronts of `charm/bin` and the Node that runs them.
 *
 * It is built beside its place and swapped in by rename, so that whoever runs a program finds the old or the new runtime.
 */
import { build } from 'esbuild';
import { chmod, copyFile, cp, link, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

// CommonJS packages inside an ES module bundle still call `require` for Node's own modules.
const banner = `import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);`;

/** Builds into `<root>/dist/runtime`. */
export async function buildRuntime(root: string): Promise<string> {
  const runtime = join(root, 'dist', 'runtime');
  const making = `${runtime}.${process.pid}`;
  await mkdir(join(making, 'bin'), { recursive: true });
  const programs = (await readdir(join(root, 'src', 'main'))).filter((name) => name.endsWith('.ts'));
  await build({
    entryPoints: programs.map((name) => ({ in: join(root, 'src', 'main', name), out: basename(name, '.ts') })),
    outdir: join(making, 'lib'),
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'esm',
    banner: { js: banner },
    external: ['pg-native'],
    legalComments: 'none',
    logLevel: 'warning',
  });
  // Without it Node asks the directories above what a .js file is, and one of them may say CommonJS.
  await writeFile(join(making, 'lib', 'package.json'), '{ "type": "module" }\n');
  await cp(join(root, 'charm', 'bin'), join(making, 'bin'), { recursive: true });
  for (const front of await readdir(join(making, 'bin'))) await chmod(join(making, 'bin', front), 0o755);
  await placeNode(join(making, 'bin', 'node'));
  await swap(making, runtime);
  return runtime;
}

/** Puts the new runtime in place of the old one; another build may do the same at this moment. */
async function swap(making: string, runtime: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    await rm(runtime, { recursive: true, force: true });
    try {
      await rename(making, runtime);
      return;
    } catch (error) {
      if (attempt === 10) throw error;
    }
  }
}

/** The Node that runs this build is the one that is shipped: a link where the file system allows it, else a copy. */
async function placeNode(path: string): Promise<void> {
  await link(process.execPath, path).catch(async () => {
    await copyFile(process.execPath, path);
  });
  await chmod(path, 0o755);
}

if (import.meta.main) {
  const runtime = await buildRuntime(join(import.meta.dirname, '..', '..'));
  process.stdout.write(`built ${runtime}\n`);
}
