/**
 * `npm run pack`: the charm as Juju deploys it, one file per architecture, in `dist/`.
 *
 * What is packed lies unpacked in `dist/charm/<architecture>`, where charmcraft.yaml takes it from.
 */
import { dump } from 'js-yaml';
import { chmod, copyFile, cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { makeRuntime } from './build.ts';
import { swapFolder } from './place.ts';
import { readOptions, runProgram } from './program.ts';
import { architectures, findNode, type Architecture } from './shipped-node.ts';
import { zipFolder } from './zip.ts';

/** The Ubuntu releases of the principals: a subordinate has its principal's. */
const releases = ['22.04', '24.04', '26.04'] as const;

/** What is packed from the top of the project as it is. */
const topFiles = ['metadata.yaml', 'config.yaml', 'actions.yaml', 'LICENSE', 'README.md'] as const;

const packageSchema = z.object({ name: z.string(), version: z.string() });

/** The name and version that package.json gives. */
export async function readPackage(root: string): Promise<z.infer<typeof packageSchema>> {
  return packageSchema.parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8')));
}

/** Packs the charm for one architecture into a folder and gives back the file's path. */
export async function packCharm(root: string, architecture: Architecture, into = join(root, 'dist')): Promise<string> {
  const folder = join(into, 'charm', architecture);
  const making = `${folder}.${process.pid}`;
  const { name } = await readPackage(root);
  await rm(making, { recursive: true, force: true });
  try {
    await makeRuntime(root, join(making, 'runtime'), await findNode(root, architecture));
    await layCharm(root, architecture, making);
    await swapFolder(making, folder);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  const path = join(into, `${name}_ubuntu-${releases.join('-')}-${architecture}.charm`);
  await zipFolder(folder, path, (file) => file === 'dispatch' || file.startsWith('runtime/bin/'));
  return path;
}

/** Lays a charm out in a folder: all of it but the runtime. */
export async function layCharm(root: string, architecture: Architecture, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const file of topFiles) await copyFile(join(root, file), join(folder, file));
  const ours = (await readdir(join(root, 'charm'))).filter((file) => file !== 'bin');
  for (const file of ours) await cp(join(root, 'charm', file), join(folder, file), { recursive: true });
  await chmod(join(folder, 'dispatch'), 0o755);
  await writeFile(join(folder, 'manifest.yaml'), manifest(architecture));
  await writeFile(join(folder, 'version'), `${(await readPackage(root)).version}\n`);
}

/** Juju reads the bases; the rest is what charmcraft 4.4 writes for a charm of no language that it knows. */
function manifest(architecture: Architecture): string {
  return dump({
    'charmcraft-version': '4.4.0',
    bases: releases.map((channel) => ({ name: 'ubuntu', channel, architectures: [architecture] })),
    analysis: {
      attributes: ['language', 'framework'].map((name) => ({ name, result: 'unknown' })),
    },
  });
}

if (import.meta.main) {
  await runProgram(async (args) => {
    const values = readOptions(args, {
      architecture: { type: 'string', multiple: true },
      into: { type: 'string' },
    });
    const root = join(import.meta.dirname, '..', '..');
    const asked = values.architecture ?? [];
    const wrong = asked.find((name) => !architectures.some((each) => each === name));
    if (wrong !== undefined) {
      throw new Failure('usage', `"${wrong}" is no architecture`, { hint: `Write ${architectures.join(' or ')}.` });
    }
    const chosen = architectures.filter((each) => asked.length === 0 || asked.includes(each));
    await mkdir(values.into ?? join(root, 'dist'), { recursive: true });
    for (const architecture of chosen) {
      process.stdout.write(`packed ${await packCharm(root, architecture, values.into)}\n`);
    }
  });
}
