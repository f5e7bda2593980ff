import { rename } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { retire } from '../../src/commands/retire.ts';
import { parseSettings } from '../../src/core/settings.ts';
import type { PruneContext } from '../../src/jobs/prune-plan.ts';
import { keepSecond } from '../../src/jobs/second.ts';
import { layout } from '../../src/repository/layout.ts';
import { writeOwnerState } from '../../src/system/home.ts';
import { readJournal } from '../../src/system/journal.ts';
import { takeLock } from '../../src/system/lock.ts';
import { claim, place, storeSegments, storeWholeBackup, systemIdentifier } from '../repository/copy-site.ts';
import { makeSecondSite, objectsAt, type SecondSite } from '../jobs/second-site.ts';

let site: SecondSite;
const child = { ...place, incarnation: 2 };
const planned = z.object({ plan: z.object({ id: z.string(), objects: z.number() }) });

/** A line whose owner is dead, its child's unit, and everything at both destinations. */
beforeEach(async () => {
  site = await makeSecondSite();
  await site.with(async (repository) => {
    await storeSegments(repository, 1, 3);
    await storeWholeBackup(repository, { daysAgo: 3, segment: 2 });
    await claim(repository, 2, 'spare');
    await storeSegments(repository, 4, 6, { where: child });
    await storeWholeBackup(repository, { daysAgo: 1, segment: 4, incarnation: 2 }, child);
  });
  await writeOwnerState(site.context.unit, { ownerId: 'spare', systemIdentifier, incarnation: 2 });
  site.clock.move(30 * 24 * 60 * 60_000);
  expect(await keepSecond(site.context, { fills: true })).toMatchObject({ is: 'kept', left: 0 });
});
afterEach(async () => {
  await site.destroy();
});

async function call(confirm?: string) {
  return await site.with(async (repository) => {
    const { context, clock } = site;
    const { unit, settings } = context;
    const server = async () => await Promise.resolve({ at: clock.now(), timeline: 1 });
    const at: PruneContext = { unit, settings, clock, repository, hostZone: 'UTC', server };
    return await retire(context, at, confirm);
  });
}

/** Retires the line at the first, as a person does. */
async function retireAtFirst(): Promise<string> {
  const { id } = planned.parse((await call()).json).plan;
  expect((await call(id)).text).toMatch(
    /^retired incarnation 1 .*\n.*second destination.*\n +landscape-backup prune --retire-parent$/,
  );
  return id;
}

const lineAt = async (path: string) =>
  (await objectsAt(path)).filter((name) => name.startsWith(layout.incarnation(place)));
const owner = [layout.owner(place)];

test('what lies at the second is retired by a plan of its own, after the first’s; the child is untouched', async () => {
  const before = (await objectsAt(site.second)).filter((name) => name.startsWith(layout.incarnation(child)));
  const first = await retireAtFirst();
  expect(await lineAt(site.first)).toEqual(owner);
  expect((await lineAt(site.second)).length).toBeGreaterThan(5);

  const { text, json } = await call();
  expect(text).toMatch(/^at the second destination: incarnation 1/);
  const { plan } = planned.parse(json);
  expect(plan.id).not.toBe(first);
  expect(await call(first)).toMatchObject({ exitCode: 4, text: expect.stringContaining('nothing was deleted') });
  expect((await lineAt(site.second)).length).toBeGreaterThan(5);

  expect((await call(plan.id)).text).toMatch(/^at the second destination: retired incarnation 1/);
  expect(await lineAt(site.second)).toEqual(owner);
  expect(before.length).toBeGreaterThan(5);
  expect((await objectsAt(site.second)).filter((name) => name.startsWith(layout.incarnation(child)))).toEqual(before);
  expect((await call()).text).toContain('nothing is left of it');
  expect((await readJournal(site.context.unit)).at(-1)).toMatchObject({
    kind: 'retire',
    outcome: 'succeeded',
    about: { destination: 'second', plan: plan.id },
  });

  // It comes to the second no more.
  site.clock.move(2 * 24 * 60 * 60_000);
  expect(await keepSecond(site.context, { fills: true })).toMatchObject({ is: 'kept', left: 0 });
  expect(await lineAt(site.second)).toEqual(owner);
});

test('a second that is away, lacks something or is being filled stays as it is, and the next step is told', async () => {
  await retireAtFirst();
  const before = await lineAt(site.second);
  const refused = { kind: 'unavailable', hint: expect.stringContaining('landscape-backup status') };

  await site.folder.add('second', `${layout.wal(child)}x`, { sizeBytes: 1, lies: 'file:///first' });
  await expect(call()).rejects.toMatchObject(refused);
  await site.folder.drop('second', `${layout.wal(child)}x`);
  await site.folder.setAway('second', { kind: 'unavailable', message: 'gone', hint: undefined });
  await expect(call()).rejects.toMatchObject(refused);
  await site.folder.clearAway('second');
  await rename(site.second, `${site.second}-away`);
  await expect(call()).rejects.toMatchObject({ message: expect.stringMatching(/^the second destination: /) });
  await rename(`${site.second}-away`, site.second);

  expect(await lineAt(site.second)).toEqual(before);
});

test('where the child has no backup of its own at the second, what lies there stays', async () => {
  await retireAtFirst();
  const { id } = planned.parse((await call()).json).plan;
  await rename(`${site.second}/${layout.base(child)}`, `${site.root}/lost`);

  await expect(call(id)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringMatching(/^the second destination: incarnation 1 is not retired: no backup of incarnation 2/),
  });
  expect((await lineAt(site.second)).length).toBeGreaterThan(5);
});

test('without a second destination nothing of one is said', async () => {
  const { context } = site;
  const alone = { ...context, settings: parseSettings({ destination: site.first }) };
  const { text } = await site.with(async (repository) => {
    const at = { ...alone, repository, hostZone: 'UTC', server: async () => ({ at: site.clock.now(), timeline: 1 }) };
    const { id } = planned.parse((await retire(alone, at, undefined)).json).plan;
    return await retire(alone, at, id);
  });
  expect(text).toMatch(/^retired incarnation 1/);
  expect(text).not.toContain('second');
});

test('nothing is deleted at the second while it is being filled', async () => {
  await retireAtFirst();
  const lock = await takeLock(site.context.unit.lock('second'), 'a fill');
  try {
    await expect(call()).rejects.toMatchObject({ kind: 'busy' });
  } finally {
    await lock.release();
  }
}, 60_000);
