import { execa } from 'execa';
import { readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readArchiveState } from '../../src/system/archive-state.ts';
import { pinSchema, settingsFile, writeOwnerState } from '../../src/system/home.ts';
import { writeJson } from '../../src/system/files.ts';
import { until } from '../setup/wait.ts';
import { segmentBytes, testOwner, type SegmentFacts } from '../setup/wal-unit.ts';
import { byAcknowledgement, byProgram, isStored, makeResidentUnit, type ResidentUnit } from './resident-unit.ts';

let at: ResidentUnit;
let other: ResidentUnit;
let running: Awaited<ReturnType<ResidentUnit['start']>>[] = [];

beforeEach(async () => {
  at = await makeResidentUnit();
  other = await makeResidentUnit();
  // Another unit of the same application, as the same owner: what a standby is that was promoted.
  await writeFile(settingsFile(other.home), `destination: ${at.url}\n`);
  await writeJson(other.unit.pin, pinSchema, { repositoryId: at.repository.record.id, url: at.url });
  await writeOwnerState(other.unit, { ...at.place, ownerId: testOwner.ownerId });
  running = [];
});

afterEach(async () => {
  for (const each of running) await each.stop();
  await at.remove();
  await other.remove();
});

async function startBoth(): Promise<void> {
  running = await Promise.all([at.start(), other.start()]);
}

const numbers = Array.from({ length: 24 }, (_, index) => index + 5);

test('two archivers that push the same bytes as one owner both acknowledge them, and they are stored once', async () => {
  const names: string[] = [];
  for (const number of numbers) {
    names.push(await at.ready({ timeline: 1, number }));
    await other.ready({ timeline: 1, number });
  }

  await startBoth();
  await at.untilAcknowledged(names);
  await other.untilAcknowledged(names);

  for (const [index, name] of names.entries()) {
    expect(await isStored(at, name, { timeline: 1, number: numbers[index] ?? 0 })).toBe(true);
  }
  expect(running.map(({ sentences }) => sentences)).toEqual([['archiving'], ['archiving']]);
});

test('of two that push other bytes under one name one is acknowledged, and the other one keeps its bytes and says so', async () => {
  const name = await at.ready({ timeline: 1, number: 5 });
  await other.ready({ timeline: 1, number: 5, fill: 'other' });

  await startBoth();
  const lost = async () =>
    (await Promise.all([at, other].map(async ({ unit }) => (await readArchiveState(unit))?.state))).map(
      (state) => state === 'failing',
    );
  await until('one has failed', async () => (await lost()).includes(true));
  await until(
    'one is acknowledged',
    async () => [...(await at.acknowledged()), ...(await other.acknowledged())].length > 0,
  );

  const [winner, loser] = (await lost())[1] === true ? [at, other] : [other, at];
  expect(await isStored(at, name, { timeline: 1, number: 5, ...(winner === at ? {} : { fill: 'other' }) })).toBe(true);
  expect(await winner.acknowledged()).toEqual([name]);
  expect(await loser.acknowledged()).toEqual([]);
  expect(await readArchiveState(loser.unit)).toMatchObject({
    name,
    kind: 'conflict',
    message: expect.stringContaining('its bytes are kept in'),
  });
  expect((await readdir(loser.unit.rejected)).length).toBe(1);
  expect(await loser.call(name)).toMatchObject(byProgram);
});

test('a stale archiver that goes on after a failover takes nothing from the new line, nor that from it', async () => {
  const history = Buffer.from('1\t0/712345\tno recovery target specified\n');
  const files: { unit: ResidentUnit; name: string; bytes: Buffer }[] = [];
  const add = async (unit: ResidentUnit, name: string, bytes: Buffer) => {
    await unit.write(name, bytes);
    await unit.markReady(name);
    files.push({ unit, name, bytes });
  };
  const segment = async (unit: ResidentUnit, facts: SegmentFacts) => {
    files.push({ unit, name: await unit.ready(facts), bytes: segmentBytes(facts) });
  };
  // The old primary writes the segment to its end, and on, in which the new one left its timeline.
  for (const number of [6, 7, 8, 9]) await segment(at, { timeline: 1, number });
  await segment(other, { timeline: 1, number: 6 });
  await add(other, '000000010000000000000007.partial', segmentBytes({ timeline: 1, number: 7, fill: 'shorter' }));
  await add(other, '00000002.history', history);
  await segment(other, { timeline: 2, number: 7, pageTimeline: 1 });
  for (const number of [8, 9]) await segment(other, { timeline: 2, number });

  await startBoth();
  for (const unit of [at, other]) {
    await unit.untilAcknowledged(files.filter((file) => file.unit === unit).map(({ name }) => name));
  }

  for (const { name, bytes } of files) expect((await at.stored(name)).equals(bytes)).toBe(true);
});

test.for([
  ['of the future', 4_102_444_800],
  ['of long ago', 86_400],
] as const)(
  'a clock that jumped while a file was written, so that its time is %s, changes nothing',
  async ([, time]) => {
    const path = (name: string) => join(at.dataDirectory, 'pg_wal', name);
    const first = await at.ready({ timeline: 1, number: 5 });
    await utimes(path(first), time, time);
    await utimes(settingsFile(at.home), time, time);
    running = [await at.start()];
    await at.untilAcknowledged([first]);
    const second = await at.ready({ timeline: 1, number: 6 });
    await at.untilAcknowledged([second]);

    expect(await at.call(first)).toMatchObject(byAcknowledgement);
    expect(await at.call(second)).toMatchObject(byAcknowledgement);
    expect(await isStored(at, first, { timeline: 1, number: 5 })).toBe(true);

    // The clock is right again, and the name belongs to other bytes now.
    await at.write(first, segmentBytes({ timeline: 1, number: 5, fill: 'other' }));
    expect(await at.call(first)).toMatchObject(byProgram);
  },
);

describe.skipIf(process.getuid?.() !== 0)("a unit's folder on a disk of its own (needs root to mount one)", () => {
  const mount = async (...options: readonly string[]) => {
    await execa('mount', ['-t', 'tmpfs', '-o', ['size=1m', 'mode=0700', ...options].join(','), 'tmpfs', at.unit.path]);
  };

  beforeEach(async () => {
    const owner = { ...at.place, ownerId: testOwner.ownerId };
    await mount('nr_inodes=28');
    await writeJson(at.unit.pin, pinSchema, { repositoryId: at.repository.record.id, url: at.url });
    await writeOwnerState(at.unit, owner);
  });

  afterEach(async () => {
    for (const each of running) await each.stop();
    running = [];
    await execa('umount', ['-l', at.unit.path]);
  });

  test('with no room for the spool nobody waits and nothing is untrue, and with room it goes on', async () => {
    const names: string[] = [];
    for (const number of numbers) names.push(await at.ready({ timeline: 1, number }));
    running = [await at.start()];
    await until('it has said so', () =>
      Promise.resolve(running[0]?.sentences.some((each) => each.includes('ENOSPC')) === true),
    );

    let programs = 0;
    for (const [index, name] of names.entries()) {
      const called = await at.call(name);
      if (called.askedProgram) programs += 1;
      else expect(await isStored(at, name, { timeline: 1, number: numbers[index] ?? 0 })).toBe(true);
      expect(called.seconds).toBeLessThan(20); // Not the half minute that a call waits for an archiver.
    }
    expect(programs).toBeGreaterThan(0);

    await mount('remount', 'nr_inodes=1000');
    await at.untilAcknowledged(names);
    for (const name of names) expect(await at.call(name)).toMatchObject(byAcknowledgement);
  });
});
