import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { withExpected } from '../../src/archiver/open-expected.ts';
import { destinationsAt } from '../../src/jobs/job-context.ts';
import { keepSecond, withWholeSecond } from '../../src/jobs/second.ts';
import { openRepository } from '../../src/repository/repository.ts';
import { openDirectory } from '../../src/storage/directory.ts';
import type { Side } from '../../src/system/lacking.ts';
import { storeSegments, storeWholeBackup, systemIdentifier } from '../repository/copy-site.ts';
import { keepInChild, makeSecondSite, objectsAt, type SecondSite } from './second-site.ts';

let site: SecondSite;
beforeEach(async () => {
  site = await makeSecondSite();
});
afterEach(async () => {
  await site.destroy();
});

async function store(first: number, last: number): Promise<void> {
  await site.with(async (repository) => {
    await storeSegments(repository, first, last);
  });
}

test('an empty second is filled over several slices of time, each by a process that is killed, while more is stored', async () => {
  await store(1, 80);
  await site.with(async (repository) => {
    for (const segment of [2, 4]) await storeWholeBackup(repository, { daysAgo: 8 - segment, segment });
  });
  const lengths: number[] = [];
  for (let slice = 1; ; slice += 1) {
    expect(slice).toBeLessThan(40);
    // Every third one is killed in the middle of it.
    const said = await keepInChild(site.root, slice % 3 === 0 ? 60 : undefined);
    const there = await objectsAt(site.second);
    lengths.push(there.length);
    const isFilled = (await site.folder.filled()) !== undefined;
    if (said === 'kept') expect(isFilled).toBe(true);
    if (said === 'filling') expect(isFilled).toBe(false);
    if (isFilled || there.includes('repository.json')) expect(await missingAtSecond()).toEqual([]);
    // What was noted meanwhile is brought over in further slices.
    if (isFilled && (await site.folder.keys('second')).length === 0) break;
    expect(await withWholeSecond(site.context, async () => await Promise.resolve('whole'))).toBeUndefined();
    if (!isFilled) await store(100 + slice, 100 + slice);
  }

  expect(lengths.length).toBeGreaterThan(4);
  expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
  expect(await objectsAt(site.second)).toEqual(await objectsAt(site.first));
  expect(await site.folder.keys('second')).toEqual([]);
  const storage = await openDirectory(site.second, { url: `file://${site.second}`, isShared: () => false });
  await openRepository(storage, undefined);
  expect(await withWholeSecond(site.context, async () => await Promise.resolve('whole'))).toBe('whole');
});

test('a first that answers and is empty takes nothing, and the second nothing in its place', async () => {
  await store(1, 3);
  expect(await keepSecond(site.context, { fills: true })).toMatchObject({ is: 'kept' });
  const id = await site.with(async (repository) => await Promise.resolve(repository.record.id));
  const before = await objectsAt(site.second);
  await rename(site.first, `${site.first}-not-mounted`);
  await mkdir(site.first);

  const { settings, unit } = site.context;
  const at = { ...destinationsAt(site.context), encryption: settings.encryption, privateFolder: unit.path };
  const storing = withExpected(at, id, async (repository) => {
    await storeSegments(repository, 4, 4);
  });

  await expect(storing).rejects.toMatchObject({ kind: 'unavailable', message: expect.stringContaining(site.first) });
  expect(await objectsAt(site.first)).toEqual([]);
  expect(await objectsAt(site.second)).toEqual(before);
});

async function missingAtSecond(): Promise<readonly string[]> {
  const [first, second] = [await objectsAt(site.first), new Set(await objectsAt(site.second))];
  return first.filter((name) => !second.has(name));
}

describe('beyond 20,000 notes of what is lacking', () => {
  /** Notes of objects that are nowhere any more, as a long outage and a prune leave them. */
  async function note(side: Side): Promise<void> {
    const folder = join(site.folder.path, side);
    await mkdir(folder, { recursive: true });
    const entry = JSON.stringify({ sizeBytes: 1, since: '2026-11-24T00:00:00.000Z', lies: 'file:///gone' });
    for (let number = 0; number < 20_000; number += 1) {
      const name = number.toString(16).toUpperCase().padStart(8, '0');
      const key = `clusters/${systemIdentifier}/1/wal/000000FF/${name}/000000FF${name}00000001.zst`;
      await writeFile(join(folder, key.replaceAll('/', '+')), entry);
    }
  }

  test('the second does not pass for whole, though no note is left, and gets the rest by a comparison of everything', async () => {
    expect(await keepSecond(site.context, { fills: true })).toMatchObject({ is: 'kept' });
    await note('second');
    await rename(site.second, `${site.second}-away`);
    await store(1, 3);
    expect(await objectsAt(site.first)).toHaveLength((await objectsAt(`${site.second}-away`)).length + 3);
    expect(await site.folder.keys('second')).toHaveLength(20_000);
    await rename(`${site.second}-away`, site.second);
    await site.folder.clearAway('second');
    await rm(join(site.folder.path, 'second'), { recursive: true });
    // A unit that does not own the cluster compares nothing.
    expect(await keepSecond(site.context, { fills: false })).toEqual({ is: 'nothing' });
    expect(await missingAtSecond()).toHaveLength(3);
    expect(await withWholeSecond(site.context, async () => await Promise.resolve('whole'))).toBeUndefined();

    expect(await keepSecond(site.context, { fills: true })).toMatchObject({ is: 'kept', left: 0 });

    expect(await missingAtSecond()).toEqual([]);
    expect(await withWholeSecond(site.context, async () => await Promise.resolve('whole'))).toBe('whole');
  });

  test('at the first nothing more is told as stored: it would lie in one place, unknown', async () => {
    expect(await keepSecond(site.context, { fills: true })).toMatchObject({ is: 'kept' });
    await note('first');
    await rename(site.first, `${site.first}-away`);

    await expect(store(1, 1)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await site.folder.keys('first')).toHaveLength(20_000);
  });
});
