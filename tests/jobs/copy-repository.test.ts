import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseSettings } from '../../src/core/settings.ts';
import { planCopy, runCopy, type CopyContext } from '../../src/jobs/copy-repository.ts';
import { createRepository } from '../../src/repository/repository.ts';
import { openDirectory } from '../../src/storage/directory.ts';
import { readJournal } from '../../src/system/journal.ts';
import { claim, storeSegments, storeWholeBackup } from '../repository/copy-site.ts';
import { makeSite, makeUnit, objectsOf, type Site } from './prune-site.ts';

let site: Site;
let place: string;
let context: CopyContext;

beforeEach(async () => {
  site = await makeSite();
  await storeSegments(site.repository, 1, 5);
  await storeWholeBackup(site.repository, { daysAgo: 1, segment: 2 });
  place = join(site.root, 'new');
  await mkdir(place);
  context = {
    ...site,
    home: join(site.root, 'home'),
    settings: parseSettings({}),
    signal: new AbortController().signal,
    progress: () => undefined,
  };
});
afterEach(async () => {
  await site.destroy();
});

test('a plan writes nothing, says what is missing, and is the same until it has run', async () => {
  const plan = await planCopy(context, { direction: 'to', place });

  expect(plan).toMatchObject({ state: 'empty', from: site.storage.url, to: `file://${place}` });
  expect(plan.missingBytes).toBe(plan.bytes);
  expect(await readdir(place)).toEqual([]);
  await storeSegments(site.repository, 6, 7);
  expect((await planCopy(context, { direction: 'to', place })).id).toBe(plan.id);
});

test('what was confirmed is copied, and the journal says it', async () => {
  const steps: unknown[] = [];
  const { id, bytes } = await planCopy(context, { direction: 'to', place });

  const other = await runCopy(context, { direction: 'to', place }, 'a123456789abcdef');
  expect(other.is).toBe('changed');
  expect(await readdir(place)).toEqual([]);

  const told = { ...context, progress: (step: unknown) => void steps.push(step) };
  const outcome = await runCopy(told, { direction: 'to', place }, id);

  expect(outcome).toMatchObject({ is: 'copied', copied: { isNew: true } });
  const copy = await openDirectory(place, { url: 'file:///copy', isShared: () => false });
  expect(await objectsOf(copy)).toEqual(await objectsOf(site.storage));
  expect((await readJournal(site.unit)).at(-1)).toMatchObject({
    kind: 'copy',
    outcome: 'succeeded',
    about: { plan: id },
  });
  expect(steps).toContainEqual(expect.objectContaining({ phase: 'copying the repository', estimatedBytes: bytes }));
  const again = await planCopy(context, { direction: 'to', place });
  expect(again).toMatchObject({ id, state: 'whole', missingObjects: 0 });
});

test('what the other place has comes back from there', async () => {
  const { id } = await planCopy(context, { direction: 'to', place });
  await runCopy(context, { direction: 'to', place }, id);
  const copy = await createRepository(
    await openDirectory(place, { url: 'file:///c', isShared: () => false }),
    new Date(),
  );
  await storeSegments(copy.repository, 6, 9);
  const request = { direction: 'from', place } as const;

  const plan = await planCopy(context, request);
  expect(plan).toMatchObject({ from: `file://${place}`, to: site.storage.url, missingObjects: 4 });
  expect(await runCopy(context, request, plan.id)).toMatchObject({ copied: { storedObjects: 4, isNew: false } });

  expect(await objectsOf(site.storage)).toEqual(await objectsOf(copy.repository.storage));
});

test('who owns nothing copies nothing', async () => {
  for (const ownerId of [undefined, 'somebody else']) {
    const unit = await makeUnit(site.root, `15-${ownerId?.length ?? 0}`, ownerId);
    await expect(planCopy({ ...context, unit }, { direction: 'to', place })).rejects.toMatchObject({ kind: 'refused' });
  }
});

test.each([
  ['the destination itself', () => join(site.root, 'destination')],
  ['a folder in it', () => join(site.root, 'destination', 'copy')],
  ['a folder around it', () => site.root],
  ['a wrong path', () => 'srv/backup'],
  ['a password', () => 'sftp://u:hunter22@h/x'],
])('%s is no place for a copy', async (_what, where) => {
  const refusal: unknown = await planCopy(context, { direction: 'to', place: where() }).catch(
    (error: unknown) => error,
  );

  expect(refusal).toMatchObject({ kind: 'usage' });
  expect(String(refusal)).not.toContain('hunter22');
});

test('from another repository nothing is copied', async () => {
  const other = await createRepository(
    await openDirectory(place, { url: 'file:///o', isShared: () => false }),
    new Date(),
  );
  await claim(other.repository, 2, 'other');
  const before = await objectsOf(site.storage);

  await expect(planCopy(context, { direction: 'from', place })).rejects.toMatchObject({ kind: 'conflict' });
  await expect(planCopy(context, { direction: 'to', place })).rejects.toMatchObject({ kind: 'conflict' });

  expect(await objectsOf(site.storage)).toEqual(before);
});
