import { readdirSync, rmSync } from 'node:fs';
import { mkdir, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { dump } from 'js-yaml';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { mostAcknowledged } from '../../src/archiver/push-batch.ts';
import { openRepository } from '../../src/repository/repository.ts';
import { readWal, walKeyIn } from '../../src/repository/wal-store.ts';
import { readArchiveState, noteArchiveFailure } from '../../src/system/archive-state.ts';
import { pinSchema, settingsFile, writeOwnerState } from '../../src/system/home.ts';
import { writeJson } from '../../src/system/files.ts';
import { encryptionFor, encryptionOptions, newAgeKey, type AgeKey } from '../setup/age.ts';
import { bytes } from '../storage/bytes.ts';
import { segmentBytes, testOwner } from '../setup/wal-unit.ts';
import { until } from '../setup/wait.ts';
import { walSteps } from '../../src/archiver/wal-steps.ts';
import { byAcknowledgement, byProgram, isStored, makeResidentUnit, type ResidentUnit } from './resident-unit.ts';

let at: ResidentUnit;
let running: Awaited<ReturnType<ResidentUnit['start']>> | undefined;

beforeEach(async () => {
  at = await makeResidentUnit();
  running = undefined;
});

afterEach(async () => {
  await running?.stop();
  await at.remove();
});

async function untilSaid({ sentences }: { readonly sentences: readonly string[] }): Promise<void> {
  await until('it has said something', async () => await Promise.resolve(sentences.length > 0));
}

/** One segment, stored and acknowledged by an archiver that has ended since. */
async function acknowledged(): Promise<string> {
  const name = await at.ready({ timeline: 1, number: 5 });
  const first = await at.start();
  await at.untilAcknowledged([name]);
  await first.stop();
  return name;
}

test('what is ready is stored with its own bytes, and a call is done without the program', async () => {
  const numbers = [5, 6, 7, 8, 9, 10, 11];
  const names: string[] = [];
  for (const number of numbers) names.push(await at.ready({ timeline: 1, number }));
  await at.write('00000002.history', Buffer.from('1\t0/512345\tno recovery target specified\n'));
  await at.markReady('00000002.history');

  running = await at.start();
  await at.untilAcknowledged([...names, '00000002.history']);

  for (const [index, name] of names.entries()) {
    expect(await isStored(at, name, { timeline: 1, number: numbers[index] ?? 0 })).toBe(true);
    expect(await at.call(name)).toMatchObject(byAcknowledgement);
  }
  expect(await at.call('00000002.history')).toMatchObject(byAcknowledgement);
  expect(running.sentences).toEqual(['archiving']);
});

test('what is ready is stored encrypted, to whom the settings say at that moment, and is known when it comes again', async () => {
  await at.remove();
  const [key, next] = [newAgeKey(), newAgeKey()];
  at = await makeResidentUnit(encryptionOptions([key], [key]));
  const first = await at.ready({ timeline: 1, number: 5 });
  running = await at.start();
  await at.untilAcknowledged([first]);
  expect(await at.call(first)).toMatchObject(byAcknowledgement);
  expect(await isStored(at, first, { timeline: 1, number: 5 })).toBe(true);

  await writeFile(settingsFile(at.home), dump({ destination: at.url, ...encryptionOptions([next]) }));
  const second = await at.ready({ timeline: 1, number: 6 });
  await at.untilAcknowledged([second]);
  const opening = async (has: AgeKey) =>
    await openRepository(at.repository.storage, at.repository.record.id, encryptionFor([], [has]));
  const of = async (has: AgeKey) => {
    const repository = await opening(has);
    return await bytes(readWal(repository, walKeyIn(repository, at.place, second)));
  };
  expect((await of(next)).equals(segmentBytes({ timeline: 1, number: 6 }))).toBe(true);
  await expect(of(key)).rejects.toMatchObject({ kind: 'refused' });

  // The acknowledgement is lost: what is stored was encrypted by another key, and is the same segment all the same.
  await rm(at.unit.spool, { recursive: true });
  await at.untilAcknowledged([first, second]);
});

test('a call that comes before the acknowledgement waits for it', async () => {
  running = await at.start();
  const name = await at.ready({ timeline: 1, number: 5, sizeBytes: 16 * 1024 * 1024 });

  expect(await at.call(name)).toMatchObject(byAcknowledgement);
  expect(await isStored(at, name, { timeline: 1, number: 5, sizeBytes: 16 * 1024 * 1024 })).toBe(true);
});

test('acknowledgements survive the archiver, and the next one goes on with them', async () => {
  const name = await acknowledged();
  expect(await at.call(name)).toMatchObject(byAcknowledgement);

  running = await at.start();
  const next = await at.ready({ timeline: 1, number: 6 });
  await at.untilAcknowledged([name, next]);
  expect(await at.call(name)).toMatchObject(byAcknowledgement);
});

test('without an archiver a call does not wait: the program does the work', async () => {
  await acknowledged();
  const next = await at.ready({ timeline: 1, number: 6 });

  const called = await at.call(next);

  expect(called).toMatchObject(byProgram);
  expect(called.seconds).toBeLessThan(2);
});

test('the acknowledgement is removed when PostgreSQL has it', async () => {
  const name = await at.ready({ timeline: 1, number: 5 });
  running = await at.start();
  await at.untilAcknowledged([name]);

  await at.done(name);

  await until('it is gone', async () => (await at.acknowledged()).length === 0);
});

const staleness: Readonly<Record<string, (name: string) => Promise<void>>> = {
  'the file was written again': async (name) => {
    await at.write(name, segmentBytes({ timeline: 1, number: 5, fill: 'other' }));
  },
  'the file has an older time': async (name) => {
    await utimes(join(at.dataDirectory, 'pg_wal', name), 1000, 1000);
  },
  'the file is gone': async (name) => {
    await rm(join(at.dataDirectory, 'pg_wal', name));
  },
  'the unit owns another incarnation': async () => {
    await writeOwnerState(at.unit, { ...at.place, ownerId: testOwner.ownerId, incarnation: 2 });
  },
  'the unit has been written down anew': async () => {
    await writeOwnerState(at.unit, { ...at.place, ownerId: testOwner.ownerId });
  },
  'the unit owns nothing any more': async () => {
    await rm(at.unit.owner);
  },
  'the unit is pinned to another repository': async () => {
    await writeJson(at.unit.pin, pinSchema, { repositoryId: 'f'.repeat(32), url: at.url });
  },
  'the settings have been written again': async () => {
    await writeFile(settingsFile(at.home), `destination: ${at.url}\n`);
  },
  'there are no settings any more': async () => {
    await rm(settingsFile(at.home));
  },
  'half of it is gone': async (name) => {
    for (const file of await readdir(at.spool, { recursive: true })) {
      if (file.endsWith(`${name}.lo`)) await rm(join(at.spool, file));
    }
  },
  'the spool says nothing of what is in force': async () => {
    await writeFile(join(at.spool, 'current'), '');
  },
  'the spool names a folder elsewhere': async () => {
    await writeFile(join(at.spool, 'current'), '.. 1 1\n');
  },
  'the spool is gone': async () => {
    await rm(at.unit.spool, { recursive: true });
  },
};

test.for(Object.entries(staleness))('an acknowledgement counts for nothing when %s', async ([, change]) => {
  const name = await acknowledged();
  expect(await at.call(name)).toMatchObject(byAcknowledgement);

  await change(name);

  expect(await at.call(name)).toMatchObject(byProgram);
});

test('an acknowledgement counts for nothing in another data directory', async () => {
  const name = await acknowledged();
  const other = join(at.root, 'other');
  await mkdir(other);

  const path = join(at.dataDirectory, 'pg_wal', name);
  expect(await at.call(name, { cwd: other, path })).toMatchObject(byProgram);
  expect(await at.call(name, { path })).toMatchObject(byAcknowledgement);
});

test('an archiver that finds another owner state gives no old acknowledgement on', async () => {
  const name = await acknowledged();
  await writeOwnerState(at.unit, { ...at.place, ownerId: 'somebody-else' });

  running = await at.start();
  await untilSaid(running);

  expect(running.sentences[0]).toContain('belongs to 15-main of test-host, not to this unit');
  expect(await at.acknowledged()).toEqual([]);
  expect(await at.call(name)).toMatchObject(byProgram);
});

test('while the destination is away nobody waits, and what waits is stored when it is back', async () => {
  await rename(at.destination, `${at.destination}.away`);
  const name = await at.ready({ timeline: 1, number: 5 });
  running = await at.start();
  await untilSaid(running);

  const called = await at.call(name);
  expect(called).toMatchObject(byProgram);
  expect(called.seconds).toBeLessThan(2);
  expect(running.sentences[0]).toContain('is not there');

  await noteArchiveFailure(at.unit, name, new Error('away'), new Date());
  await rename(`${at.destination}.away`, at.destination);
  await at.untilAcknowledged([name]);
  expect(await at.call(name)).toMatchObject(byAcknowledgement);
  await until('the state says so', async () => (await readArchiveState(at.unit))?.state === 'ok');
  await until('it says so', async () => await Promise.resolve(running?.sentences.at(-1) === 'archiving'));
});

test('behind a file that is refused nothing is begun, and PostgreSQL asking itself goes on', async () => {
  const bad = await at.ready({ timeline: 1, number: 5, systemIdentifier: '42' });
  const names: string[] = [];
  for (let number = 6; number < 20; number += 1) names.push(await at.ready({ timeline: 1, number }));
  running = await at.start();
  await untilSaid(running);

  expect(running.sentences[0]).toContain('it belongs to the cluster 42');
  expect((await at.acknowledged()).length).toBeLessThan(5);
  expect(await at.call(bad)).toMatchObject(byProgram);

  await at.done(bad);
  await at.untilAcknowledged(names);
});

test('a file that is stored already with other bytes is never acknowledged', async () => {
  await acknowledged();
  const name = await at.ready({ timeline: 1, number: 5, fill: 'other' });

  running = await at.start();
  await untilSaid(running);

  expect(running.sentences[0]).toContain('is stored already with other bytes');
  expect(await at.acknowledged()).toEqual([]);
  expect(await at.call(name)).toMatchObject(byProgram);
});

test('a queue that is moved away with its directory and made anew is watched again', async () => {
  running = await at.start();
  const first = await at.ready({ timeline: 1, number: 5 });
  await at.untilAcknowledged([first]);
  await rename(join(at.dataDirectory, 'pg_wal'), join(at.root, 'aside'));
  await mkdir(join(at.dataDirectory, 'pg_wal', 'archive_status'), { recursive: true });

  const second = await at.ready({ timeline: 1, number: 6 });

  await at.untilAcknowledged([second]);
  expect(await at.acknowledged()).toEqual([second]);
});

test('a spool that can not be written is taken out of service, and a call does not wait for it', async () => {
  const name = await at.ready({ timeline: 1, number: 5 });
  let isFull = true;
  running = await at.start((step) => {
    if (isFull && (step === 'half acknowledged' || step === 'failing said')) throw new Error('ENOSPC');
  });
  await untilSaid(running);

  const called = await at.call(name);

  expect(called).toMatchObject(byProgram);
  expect(called.seconds).toBeLessThan(2);
  isFull = false;
  await at.untilAcknowledged([name]);
  expect(await at.call(name)).toMatchObject(byAcknowledgement);
});

test('at most so many acknowledgements wait that the spool stays small', { timeout: 300_000 }, async () => {
  const names: string[] = [];
  for (let number = 0; number < mostAcknowledged + 20; number += 1) {
    const name = `000000010000000000000005.${number.toString(16).toUpperCase().padStart(8, '0')}.backup`;
    await at.write(name, Buffer.from('START WAL LOCATION: 0/500028 (file …)\n'));
    await at.markReady(name);
    names.push(name);
  }
  running = await at.start();
  await at.untilAcknowledged(names.slice(0, mostAcknowledged));
  await sleep(300);
  expect(await at.acknowledged()).toEqual(names.slice(0, mostAcknowledged));

  for (const name of names.slice(0, 20)) await at.done(name);
  await at.untilAcknowledged(names.slice(20));
});

test.for(walSteps)('an archiver that is killed at "%s" leaves nothing that is not true', async (step) => {
  const facts = [5, 6, 7].map((number) => ({ timeline: 1, number }));
  const ready: string[] = [];
  for (const each of facts) ready.push(await at.ready(each));
  if (step === 'forgotten') {
    const first = await at.start();
    await at.untilAcknowledged(ready);
    await first.stop();
    await at.done(ready.shift() ?? '');
    facts.shift();
  }

  expect(await at.startAndDie(step)).toBe('SIGKILL');

  for (const [index, name] of ready.entries()) {
    const called = await at.call(name);
    expect(called.seconds).toBeLessThan(2);
    if (called.exitCode === 0) expect(await isStored(at, name, facts[index] ?? { timeline: 1, number: 0 })).toBe(true);
  }
  running = await at.start();
  await at.untilAcknowledged(ready);
  for (const [index, name] of ready.entries()) {
    expect(await at.call(name)).toMatchObject(byAcknowledgement);
    expect(await isStored(at, name, facts[index] ?? { timeline: 1, number: 0 })).toBe(true);
  }
});

test('a file whose acknowledgement does not hold is stored again with the next look at the queue, and not at once', async () => {
  await at.ready({ timeline: 1, number: 5 });
  const stored: number[] = [];
  running = await at.start((step) => {
    if (step === 'file stored') stored.push(performance.now());
    if (step !== 'acknowledged') return;
    for (const file of readdirSync(at.spool, { recursive: true, encoding: 'utf8' })) {
      if (/\/[0-9A-F]+\.(lo|hi)$/.test(file)) rmSync(join(at.spool, file));
    }
  });
  await until('it was stored twice', async () => await Promise.resolve(stored.length > 1));

  // Between two looks are two seconds, where nothing in the queue has changed.
  expect((stored[1] ?? 0) - (stored[0] ?? 0)).toBeGreaterThan(1000);
});
