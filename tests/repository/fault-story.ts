import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { z } from 'zod';
import { isFailure, type FailureKind } from '../../src/core/failure.ts';
import { parseWalName } from '../../src/core/wal-name.ts';
import { claimIncarnation, listIncarnations } from '../../src/repository/incarnations.ts';
import { layout, walKey } from '../../src/repository/layout.ts';
import { readParts, storeParts } from '../../src/repository/parts.ts';
import { appendRecord, readRecords } from '../../src/repository/records.ts';
import { createRepository, openRepository, type Repository } from '../../src/repository/repository.ts';
import { listWal, readWal, storeWal } from '../../src/repository/wal-store.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { testOwner } from '../setup/wal-unit.ts';
import { all, bodyOf, bytes, noise } from '../storage/bytes.ts';

const place = { systemIdentifier: '7300000000000000001', incarnation: 1 };
const clusters = layout.wal(place);
const names = [3, 4, 5].map((number) => parseWalName(`00000001000000000000000${number}`));
const recordSchema = z.object({ beat: z.number() });
const partSchema = z.object({ name: z.string(), sizeBytes: z.number(), sha256: z.string() });
const manifestSchema = z.object({ parts: z.array(partSchema) });
const backups = 'clusters/backups/';

/** How a story is told. */
export interface FaultStory {
  /** Opens the destination with all that is wrong with it; called again and again. */
  readonly faulty: () => Promise<Storage>;
  /** Opens it with nothing wrong. */
  readonly sound: () => Promise<Storage>;
  /** What may be answered while things go wrong: nothing else, and never "missing" of what was acknowledged. */
  readonly passing: readonly FailureKind[];
  /** How long the objects are that are not JSON. */
  readonly sizeBytes?: number;
}

/**
 * The life of a small repository at a destination that fails: each step is done anew until it is acknowledged, as PostgreSQL,
 * the timer and people repeat theirs. Holds, through a handle that nothing is wrong with, that all that was acknowledged is
 * there in its own bytes, that what was not is there whole or not at all, and that a sweep leaves nothing else.
 */
export async function tellUnderFaults({ faulty, sound, passing, sizeBytes = 30_000 }: FaultStory): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lb-faults-'));
  const insist = insistOn(passing);
  const way = new Reopened(faulty);
  try {
    const files = names.map((name, index) => ({ name, path: join(folder, name.name), plain: noise(sizeBytes, index) }));
    for (const { path, plain } of files) await writeFile(path, plain);
    const id = await insist('create', async () => {
      const { repository } = await createRepository(await way.storage(), testOwner.since);
      return repository.record.id;
    });
    const repository = async () => await openRepository(await way.storage(), id);
    await insist('claim', async () => await claimIncarnation(await repository(), place.systemIdentifier, 1, testOwner));
    for (const { name, path } of files) {
      await insist(`store ${name.name}`, async () => await storeWal(await repository(), place, name, path, 1));
    }
    await refusesOtherBytes(insist, repository, folder);
    const body = noise(3 * sizeBytes, 9);
    let attempt = 0;
    await insist('back up', async () => {
      attempt += 1;
      const prefix = `${backups}${attempt}/`;
      const at = await repository();
      const parts = await storeParts(at, prefix, 'base', bodyOf(body), sizeBytes + 1);
      await at.writeJson(`${prefix}backup.json`, manifestSchema, { parts: [...parts] });
    });
    for (const beat of [1, 2, 3]) {
      await insist(
        'append',
        async () => await appendRecord(await repository(), `${clusters}leases/`, recordSchema, { beat }),
      );
    }
    for (const { name, plain } of files) {
      const read = await insist('read', async () => await bytes(readWal(await repository(), walKey(place, name.name))));
      expect(read.equals(plain), `${name.name} through the faults`).toBe(true);
    }
    const listed = await insist('list', async () => await all(listWal(await repository(), place)));
    expect(listed).toEqual(names.map(({ name }) => name));
    const [first] = names;
    await insist('remove', async () => {
      await (await way.storage()).remove(walKey(place, first?.name ?? ''));
    });
    await way.close();
    await provesAll(await sound(), id, files.slice(1), body);
  } finally {
    await way.close();
    await rm(folder, { recursive: true, force: true });
  }
}

type Insist = <T>(what: string, work: () => Promise<T>) => Promise<T>;

function insistOn(passing: readonly FailureKind[]): Insist {
  return async (what, work) => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        if (!isFailure(error, ...passing) || attempt === 40) {
          throw new Error(`${what}, attempt ${attempt}: ${String(error)}`, { cause: error });
        }
        await sleep(Math.min(attempt * 5, 100));
      }
    }
  };
}

/** A handle that lives as long as nothing goes wrong while it is opened. */
class Reopened {
  readonly #open: () => Promise<Storage>;
  #current: Storage | undefined;

  constructor(open: () => Promise<Storage>) {
    this.#open = open;
  }

  async storage(): Promise<Storage> {
    this.#current ??= await this.#open();
    return this.#current;
  }

  async close(): Promise<void> {
    await this.#current?.close();
    this.#current = undefined;
  }
}

async function refusesOtherBytes(insist: Insist, repository: () => Promise<Repository>, folder: string): Promise<void> {
  const [name] = names;
  if (name === undefined) return;
  const path = join(folder, 'other');
  await writeFile(path, noise(1000, 77));
  const told = await insist('store other bytes', async () => {
    const asked = storeWal(await repository(), place, name, path, 1);
    return await asked.catch((error: unknown) => {
      if (isFailure(error, 'conflict')) return error.kind;
      throw error;
    });
  });
  expect(told).toBe('conflict');
}

async function provesAll(
  storage: Storage,
  id: string,
  files: readonly { readonly name: { readonly name: string }; readonly plain: Buffer }[],
  body: Buffer,
): Promise<void> {
  try {
    const repository = await openRepository(storage, id);
    expect((await listIncarnations(repository, place.systemIdentifier)).map(({ owner }) => owner)).toEqual([testOwner]);
    expect(await all(listWal(repository, place))).toEqual(files.map(({ name }) => name.name));
    for (const { name, plain } of files) {
      expect((await bytes(readWal(repository, walKey(place, name.name)))).equals(plain), name.name).toBe(true);
    }
    // A record whose answer was lost was appended once more, and nothing stands between the two.
    const beats = (await readRecords(repository, `${clusters}leases/`, recordSchema)).map(({ value }) => value?.beat);
    expect(beats.filter((beat, index) => beat !== beats[index - 1])).toEqual([1, 2, 3]);
    let complete = 0;
    for (const folder of await storage.folders(backups)) {
      const manifest = await repository.readJson(`${backups}${folder}backup.json`, manifestSchema);
      if (manifest === undefined) continue;
      complete += 1;
      const read = await bytes(readParts(repository, backups + folder, manifest.parts));
      expect(read.equals(body), folder).toBe(true);
    }
    expect(complete).toBeGreaterThan(0);
    const before = await all(storage.list(''));
    await storage.sweep('', new Date(Date.now() + 60_000));
    expect(await storage.sweep('', new Date(Date.now() + 60_000))).toBe(0);
    expect(await all(storage.list(''))).toEqual(before);
  } finally {
    await storage.close();
  }
}
