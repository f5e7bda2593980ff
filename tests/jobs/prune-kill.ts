import { execa } from 'execa';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { segmentEndingAt, segmentName, segmentOf } from '../../src/core/wal-name.ts';
import { makePrunePlan } from '../../src/jobs/prune-plan.ts';
import { prune } from '../../src/jobs/prune.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { layout, walKey } from '../../src/repository/layout.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { bytesOf } from '../../src/repository/small-object.ts';
import { isFailure } from '../../src/core/failure.ts';
import { now } from '../core/catalogue-builder.ts';
import { writeDestination, type DestinationOptions, type StartDestinations } from '../setup/destinations.ts';
import { all } from '../storage/bytes.ts';
import { makeSite, objectsOf, openAt, pruneContext, reopen, storeDaily, type Site } from './prune-site.ts';

const child = join(import.meta.dirname, 'prune-child.ts');
/** So many calls of a whole prune of the site below change something. */
const changingCalls = 38;

/** A small generator of repeatable numbers (mulberry32), so that a printed seed tells the whole run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Tests that kill a prune with -9 so many times, each at its own instant. */
export function pruneKillTests(name: string, start: StartDestinations, times: number, seed: number): void {
  test(`a prune at ${name} that is killed ${times} times anywhere leaves whole backups or marked ones, and the next finishes (seed ${seed})`, async () => {
    const destinations = await start();
    const site = await makeSite(await destinations.add());
    const copyOf = async (label: string) => await copySite(site, label, await destinations.add());
    try {
      await storeDaily(site, 6);
      const id = '20261101T000000Z-00aaaa';
      for (const part of ['1', '2'])
        await site.storage.put(`${layout.backup(site.place, id)}base.tar.zst.0000${part}`, bytesOf('x'));
      const random = randomFrom(seed);
      const whole = await copyOf('whole');
      const expected = await finished(whole);
      await whole.repository.storage.close();
      for (let run = 1; run <= times; run += 1) {
        const [nth, when, milliseconds] = [
          1 + random(changingCalls),
          ['before', 'during', 'after'][random(3)] ?? '',
          random(4),
        ];
        const where = `seed ${seed}, run ${run}: ${when} call ${nth}, ${milliseconds} ms`;
        const copy = await copyOf(`run-${run}`);
        const ran = await execa(
          process.execPath,
          [child, copy.root, '15-main', String(nth), when, String(milliseconds)],
          { reject: false },
        );
        expect(ran.signal ?? ran.exitCode, `${where}: ${ran.stderr}`).toBe(ran.exitCode === 0 ? 0 : 'SIGKILL');
        await expectNoLie(copy.repository, where);
        expect(await finished(copy), where).toEqual(expected);
        await copy.repository.storage.close();
      }
    } finally {
      await site.destroy();
      await destinations.stop();
    }
  }, 1_200_000);
}

type Copy = Pick<Site, 'repository' | 'unit' | 'clock' | 'root' | 'place'>;

/** Another site with the same objects, at a destination of its own. */
async function copySite(site: Site, name: string, options: DestinationOptions): Promise<Copy> {
  const root = join(site.root, name);
  await cp(join(site.root, 'home'), join(root, 'home'), { recursive: true });
  await writeDestination(root, options);
  const there = await openAt(root);
  const keys = await all(site.storage.list(''));
  for (let from = 0; from < keys.length; from += 16) {
    const some = keys.slice(from, from + 16);
    await Promise.all(some.map(async ({ key }) => await there.put(key, await site.storage.get(key))));
  }
  await there.close();
  const repository = await reopen(root, () => now);
  return { ...site, root, repository, unit: { ...site.unit, ...unitAt(site, root) } };
}

function unitAt({ unit, root: from }: Site, root: string): Partial<Site['unit']> {
  const moved = (path: string): string => path.replace(from, root);
  return {
    path: moved(unit.path),
    owner: moved(unit.owner),
    journal: moved(unit.journal),
    lock: (lock) => moved(unit.lock(lock)),
  };
}

/** Prunes to the end and says which objects are left, without the marks: those of a killed run may be more. */
async function finished(copy: Copy): Promise<readonly string[]> {
  const context = pruneContext(copy, { count: 2, days: 0 });
  for (let attempt = 0; ; attempt += 1) {
    try {
      const { id } = await makePrunePlan(context);
      expect((await prune(context, { by: 'person', confirm: id })).is).toBe('pruned');
      break;
    } catch (error) {
      // The killed one's lock goes when the kernel has told its holder.
      if (!isFailure(error, 'busy') || attempt > 40) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  const { retention } = await makePrunePlan(context);
  expect([retention.delete, retention.unfinished.sweep, retention.wal.delete]).toEqual([[], [], []]);
  return (await objectsOf(copy.repository.storage)).filter((each) => !each.includes('/marks/'));
}

/** Every `backup.json` tells the truth: its parts are there in their length, and its WAL too unless it is condemned. */
async function expectNoLie(repository: Repository, where: string): Promise<void> {
  const stored = new Set(await objectsOf(repository.storage));
  const keys = new Set([...stored].map((each) => each.split(' ')[0]));
  const { systemIdentifier, incarnations } = await readCatalogue(repository, '7000000000000000001');
  for (const { number, backups, marks } of incarnations) {
    const place = { systemIdentifier, incarnation: number };
    const whole = backups.filter(({ id }) => (marks.get(id) ?? []).length === 0);
    expect(whole.length, where).toBeGreaterThanOrEqual(2);
    for (const backup of backups) {
      for (const { name, sizeBytes } of [
        ...backup.archives.flatMap(({ parts }) => parts),
        ...(backup.manifest === null ? [] : [backup.manifest]),
      ]) {
        expect(stored, where).toContain(`${layout.backup(place, backup.id)}${name} ${sizeBytes}`);
      }
    }
    for (const { timeline, segmentSize, startLsn, stopLsn } of whole) {
      for (
        let segment = segmentOf(startLsn, segmentSize);
        segment <= segmentEndingAt(stopLsn, segmentSize);
        segment += 1
      ) {
        expect(keys, where).toContain(walKey(place, segmentName(timeline, segment, segmentSize)));
      }
    }
  }
}
