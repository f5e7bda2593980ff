import { rename } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { confirmPrune, printPrune } from '../../src/commands/prune-both.ts';
import { assess } from '../../src/core/health.ts';
import { inJujuWords } from '../../src/core/juju-words.ts';
import { parseSettings } from '../../src/core/settings.ts';
import type { PruneContext } from '../../src/jobs/prune-plan.ts';
import { prune } from '../../src/jobs/prune.ts';
import { keepSecond, withWholeSecond, type SecondContext } from '../../src/jobs/second.ts';
import { readHealthFacts } from '../../src/jobs/status.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { hourMs, now } from '../core/catalogue-builder.ts';
import { storeSegments, storeWholeBackup } from '../repository/copy-site.ts';
import { makeSecondSite, objectsAt, type SecondSite } from '../jobs/second-site.ts';

let site: SecondSite;
const printed = z.object({ plan: z.object({ id: z.string() }), second: z.object({ id: z.string() }).nullable() });

/** Five daily backups at both destinations. */
beforeEach(async () => {
  site = await makeSecondSite();
  // The destinations know no other time than the machine's.
  site.clock.set(new Date());
  const sinceBuilt = (site.clock.now().getTime() - now.getTime()) / (24 * hourMs);
  await site.with(async (repository) => {
    for (let day = 1; day <= 5; day += 1) {
      await storeWholeBackup(repository, { daysAgo: 5 - day + 0.25 - sinceBuilt, segment: day * 3 });
    }
    await storeSegments(repository, 1, 17);
  });
  expect(await keepSecond(context(), { fills: true })).toMatchObject({ is: 'kept', left: 0 });
});
afterEach(async () => {
  await site.destroy();
});

function context(count = 2): SecondContext {
  const options = { 'retention-count': count, 'retention-days': 0, 'backup-schedule': '' };
  return {
    ...site.context,
    settings: parseSettings({ destination: site.first, 'destination-2': site.second, ...options }),
  };
}

function at(repository: Repository): PruneContext {
  const { clock } = site;
  const { unit, settings } = context();
  const server = async () => await Promise.resolve({ at: clock.now(), timeline: 1 });
  return { unit, settings, clock, repository, hostZone: 'UTC', server };
}

async function print() {
  return await site.with(async (repository) => await printPrune(context(), at(repository)));
}

async function confirm(id: string) {
  return await site.with(async (repository) => await confirmPrune(context(), at(repository), id));
}

async function pruneSecondByItself(): Promise<unknown> {
  return await withWholeSecond(
    context(),
    async (second) => await prune({ ...at(second), isSecond: true }, { by: 'schedule' }),
  ).catch((error: unknown) => error);
}

/** What the status says of prunes, as Juju's operator reads it. */
async function told(settings = context().settings): Promise<readonly string[]> {
  const path = '/nonexistent';
  const cluster = {
    major: '15',
    name: 'main',
    label: '15/main',
    unit: '15-main',
    port: 5432,
    dataDirectory: path,
    configDirectory: path,
    socketDirectory: path,
    logFile: path,
    binaries: path,
    ownerUid: 0,
    ownerGid: 0,
    running: false,
  };
  const control = { start: async () => await Promise.resolve(), stop: async () => await Promise.resolve() };
  const facts = await readHealthFacts({
    ...context(),
    settings,
    cluster,
    control,
    runtime: path,
    identity: { model: 'm', application: 'a', unit: 'u/0' },
  });
  const { level, text, next, details } = assess(facts);
  return [{ level, text, next }, ...details]
    .filter((each) => each.text.includes('prune'))
    .map((each) =>
      inJujuWords(`${each.level}: ${each.text}. Next: ${each.next ?? ''}`, { unit: 'lb/0', jujuVersion: '3.6' }),
    );
}

const backupsAt = async (path: string) => (await objectsAt(path)).filter((name) => name.endsWith('backup.json')).length;

test('a prune of the second that waits for a person is told by the status, printed, and done when it is confirmed', async () => {
  expect(await told()).toEqual([]);
  expect(await pruneSecondByItself()).toMatchObject({ kind: 'refused' });
  const { plan, second } = printed.parse((await print()).json);
  expect(await told()).toEqual([
    `attention: 15/main: the prune of the second destination waits for a person: 3 backups would be deleted, usual would be at most 2. Next: Look at juju run lb/0 prune; if it is right: juju run lb/0 prune confirm=${second?.id ?? ''}`,
  ]);
  expect(await told(parseSettings({ destination: site.first }))).toEqual([]);

  expect((await print()).text).toMatch(
    new RegExp(`prune --confirm=${plan.id}\n\nat the second destination:\n[^]*prune --confirm=${second?.id ?? ''}$`),
  );
  expect((await confirm(second?.id ?? '')).text).toMatch(/^at the second destination: deleted 3 backups/);
  expect(await backupsAt(site.second)).toBe(2);
  expect(await backupsAt(site.first)).toBe(5);
  expect(await told()).toEqual([]);

  // What was confirmed for the second is nothing that the first does.
  expect(await confirm(second?.id ?? '')).toMatchObject({ exitCode: 4 });
  expect(await backupsAt(site.first)).toBe(5);
  expect((await confirm(plan.id)).text).toMatch(/^deleted 3 backups/);
  expect(await backupsAt(site.first)).toBe(2);
});

test('the first’s that waits is told in the same way, and what is confirmed for it is not done at the second', async () => {
  await site.with(async (repository) => {
    await expect(prune(at(repository), { by: 'schedule' })).rejects.toMatchObject({ kind: 'refused' });
  });
  const { plan } = printed.parse((await print()).json);
  expect(await told()).toEqual([expect.stringMatching(`the prune waits for a person.*prune confirm=${plan.id}`)]);

  await confirm(plan.id);

  expect(await backupsAt(site.first)).toBe(2);
  expect(await backupsAt(site.second)).toBe(5);
  expect(await told()).toEqual([]);
});

test('where the second is away the first is printed and pruned all the same', async () => {
  await rename(site.second, `${site.second}-away`);
  const { text, json } = await print();
  expect(text).toMatch(
    /the second destination: .*: nothing expires there now\n  next: Mount it, or make the directory: .+$/,
  );
  const { plan, second } = printed.parse(json);
  expect(second).toBeNull();

  expect((await confirm(plan.id)).text).toMatch(/^deleted 3 backups/);
});
