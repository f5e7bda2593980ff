import { execa } from 'execa';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseSettings } from '../../src/core/settings.ts';
import { destinationsAt } from '../../src/jobs/job-context.ts';
import type { SecondContext } from '../../src/jobs/second.ts';
import { openDestinations } from '../../src/repository/open-destinations.ts';
import { createRepository, openRepository, type Repository } from '../../src/repository/repository.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { unitFolder } from '../../src/system/home.ts';
import { LackingFolder } from '../../src/system/lacking.ts';
import { atThree } from '../repository/memory-repository.ts';
import { claim, systemIdentifier } from '../repository/copy-site.ts';
import { fixedClock, type FixedClock } from '../doubles/fixed-clock.ts';
import { makePrivateFolder, writeOwnerState } from '../../src/system/home.ts';

/** Two directories as the destinations of one unit that owns incarnation 1; the second is empty. */
export interface SecondSite {
  readonly root: string;
  readonly first: string;
  readonly second: string;
  readonly folder: LackingFolder;
  readonly clock: FixedClock;
  readonly context: SecondContext;
  /** Opens both as the unit does, and works with the repository. */
  with<T>(work: (repository: Repository) => Promise<T>): Promise<T>;
  destroy(): Promise<void>;
}

export async function makeSecondSite(): Promise<SecondSite> {
  const root = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'lb-second-'));
  const context = contextAt(root);
  for (const each of ['first', 'second']) await mkdir(join(root, each));
  await makePrivateFolder(context.unit.path);
  await writeOwnerState(context.unit, { ownerId: 'owner', systemIdentifier, incarnation: 1 });
  const opened = async <T>(work: (storage: Storage) => Promise<T>): Promise<T> => {
    const storage = await openDestinations(destinationsAt(context));
    try {
      return await work(storage);
    } finally {
      await storage.close();
    }
  };
  const { repository } = await opened(async (storage) => await createRepository(storage, atThree));
  const site: SecondSite = {
    root,
    first: join(root, 'first'),
    second: join(root, 'second'),
    folder: new LackingFolder(context.unit.path),
    clock: context.clock,
    context,
    with: async (work) =>
      await opened(async (storage) => await work(await openRepository(storage, repository.record.id))),
    destroy: async () => {
      await rm(root, { recursive: true, force: true });
    },
  };
  await site.with(async (each) => {
    await claim(each, 1, 'owner');
  });
  return site;
}

/** What the unit of a site works with. */
export function contextAt(root: string): SecondContext & { readonly clock: FixedClock } {
  const home = join(root, 'home');
  return {
    home,
    unit: unitFolder(home, '15-main'),
    settings: parseSettings({ destination: join(root, 'first'), 'destination-2': join(root, 'second') }),
    clock: fixedClock(atThree),
    signal: new AbortController().signal,
  };
}

/** The names of what lies at a place that is the same at both. */
export async function objectsAt(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))
    .filter((name) => !/(?:^|\/)(?:marks|probes|guests|leases)\/|(?:^|\/)\.|^copy\.json$/.test(name))
    .toSorted();
}

/** Lets a process of its own keep the second destination once, in a time that runs fast; says what came of it. */
export async function keepInChild(root: string, killAfterMs?: number): Promise<string> {
  const child = join(import.meta.dirname, 'second-child.ts');
  const args = [child, root, String(killAfterMs ?? '')];
  const { stdout, stderr, signal } = await execa(process.execPath, args, { reject: false });
  if (signal !== 'SIGKILL') throw new Error(`the child was not killed: ${stdout} ${stderr}`);
  return stdout;
}
