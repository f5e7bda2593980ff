import { execa } from 'execa';
import { access, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makePrunePlan } from '../../src/jobs/prune-plan.ts';
import { prune } from '../../src/jobs/prune.ts';
import { readCatalogueByMemory } from '../../src/jobs/remembered-wal.ts';
import { planRetirement, retireParent } from '../../src/jobs/retire-parent.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import { bytesOf } from '../../src/repository/small-object.ts';
import { isLockHeld } from '../../src/system/lock.ts';
import { unitFolder, writeOwnerState, type UnitFolder } from '../../src/system/home.ts';
import { now } from '../core/catalogue-builder.ts';
import { fixedClock } from '../doubles/fixed-clock.ts';
import { writeDestination } from '../setup/destinations.ts';
import { largeSegments as segmentSize, segmentKeys, storeBackupRecord } from '../setup/stored-wal.ts';
import { testOwner } from '../setup/wal-unit.ts';
import { makeSite, makeUnit, pruneContext, reopen, watch, type Site } from './prune-site.ts';

const child = join(import.meta.dirname, 'prune-child.ts');
/** What the child below keeps. */
const policy = { count: 2, days: 0 };
/** Before its WAL a prune of the site marks two backups, and removes their records. */
const otherChanges = 4;

let site: Site;

beforeEach(async () => {
  site = await makeSite();
  for (const [at, segment] of [2, 10, 18, 26].entries())
    await storeBackupRecord(site.repository, site.place, { segment, segmentSize, daysAgo: 4 - at });
  for (const key of segmentKeys(site.place, 1, [2, 30], segmentSize)) await site.storage.put(key, bytesOf('segment'));
});

afterEach(async () => {
  await site.destroy();
});

type Unit = Pick<Site, 'unit' | 'repository'>;
const look = async ({ unit, repository }: Unit) =>
  await readCatalogueByMemory({ unit, clock: fixedClock(now) }, repository, site.place.systemIdentifier);
const truth = async ({ repository }: Unit) => await readCatalogue(repository, site.place.systemIdentifier);
const isRemembered = async ({ path }: UnitFolder) =>
  await access(join(path, 'wal-index.json')).then(
    () => true,
    () => false,
  );

/** Calls what is given after each removal of WAL; says how many there were. */
async function watching(work: (repository: Site['repository']) => Promise<unknown>, each: () => Promise<void>) {
  let removals = 0;
  const repository = await reopen(
    site.root,
    () => now,
    (inner) =>
      watch(inner, async (call, key) => {
        if (call !== 'remove' || !key.includes('/wal/')) return;
        removals += 1;
        await each();
      }),
  );
  await work(repository);
  await repository.storage.close();
  return removals;
}

test('at no instant of a prune is anything remembered, and a look in between tells what is stored', async () => {
  expect(await look(site)).toEqual(await truth(site));
  expect(await isRemembered(site.unit)).toBe(true);
  let removed = 0;
  const removals = await watching(
    async (repository) => {
      const context = pruneContext({ ...site, repository }, policy);
      expect((await prune(context, { by: 'person', confirm: (await makePrunePlan(context)).id })).is).toBe('pruned');
    },
    async () => {
      expect(await isRemembered(site.unit)).toBe(false);
      removed += 1;
      if (removed % 5 !== 0) return;
      expect(await look(site)).toEqual(await truth(site));
      expect(await isRemembered(site.unit)).toBe(false);
    },
  );
  expect(removals).toBe(16);
  expect(await look(site)).toEqual(await truth(site));
  expect(await isRemembered(site.unit)).toBe(true);
});

test('at no instant of a parent’s retirement is anything remembered', async () => {
  const { systemIdentifier } = site.place;
  const unit = await makeUnit(site.root, '15-spare', undefined);
  const place = { systemIdentifier, incarnation: 2 };
  await writeOwnerState(unit, { ownerId: 'child', ...place });
  const parent = { incarnation: 1, timeline: 1, lsn: 31n * BigInt(segmentSize) };
  await claimIncarnation(site.repository, systemIdentifier, 2, { ...testOwner, ownerId: 'child', parent });
  await storeBackupRecord(site.repository, place, { segment: 31, segmentSize, daysAgo: 0.5 });
  for (const key of segmentKeys(place, 1, [31, 40], segmentSize)) await site.storage.put(key, bytesOf('segment'));
  await look({ ...site, unit });
  expect(await isRemembered(unit)).toBe(true);

  const removals = await watching(
    async (repository) => {
      const context = pruneContext({ ...site, unit, repository }, { count: 1, days: 0 });
      await retireParent(context, (await planRetirement(context)).id);
    },
    async () => expect(await isRemembered(unit)).toBe(false),
  );

  expect(removals).toBe(29);
  expect(await look({ ...site, unit })).toEqual(await truth(site));
});

test('killed before or in the middle of its removals, a prune leaves nothing remembered', async () => {
  await look(site);
  for (const [nth, when] of [
    [otherChanges + 1, 'before'],
    [otherChanges + 6, 'after'],
  ] as const) {
    const { unit, repository } = await killed(`${when}-${nth}`, nth, when);
    // The lock goes when the kernel has told its holder.
    await expect.poll(async () => await isLockHeld(unit.lock('wal-index')), { timeout: 60_000 }).toBe(false);
    expect(await isRemembered(unit)).toBe(false);
    expect(await look({ unit, repository }), `${when} ${nth}`).toEqual(await truth({ unit, repository }));
    await repository.storage.close();
  }
}, 120_000);

/** Prunes a copy of the site in a process of its own, which kills itself at that call. */
async function killed(name: string, nth: number, when: string) {
  const root = join(site.root, name);
  await cp(join(site.root, 'home'), join(root, 'home'), { recursive: true });
  await cp(join(site.root, 'destination'), join(root, 'destination'), { recursive: true });
  await writeDestination(root, { destination: `file://${join(root, 'destination')}` });
  const { signal, exitCode, stderr } = await execa(process.execPath, [child, root, '15-main', String(nth), when, '0'], {
    reject: false,
  });
  expect(signal, `${exitCode}: ${stderr}`).toBe('SIGKILL');
  const repository = await reopen(root, () => now);
  return { unit: unitFolder(join(root, 'home'), '15-main'), repository };
}
