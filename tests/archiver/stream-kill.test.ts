import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { newest, readReceived } from '../../src/archiver/stream-folder.ts';
import { StreamPush } from '../../src/archiver/stream-push.ts';
import { streamSteps } from '../../src/archiver/wal-steps.ts';
import { listWal } from '../../src/repository/wal-store.ts';
import { readArchiveState } from '../../src/system/archive-state.ts';
import { segmentName } from '../../src/core/wal-name.ts';
import { removeStreamMarker } from '../../src/system/stream-marker.ts';
import { faultyStorage } from '../doubles/faulty-storage.ts';
import { mebibyte, testOwner } from '../setup/wal-unit.ts';
import { until } from '../setup/wait.ts';
import { withoutStep } from '../setup/without-step.ts';
import { timelineAt, written } from './stream-server.ts';
import { makeStreamUnit, type StreamUnit } from './stream-unit.ts';

let at: StreamUnit;

afterEach(async () => {
  await at.remove();
});

/** The slot is in segment 5, a standby was promoted in the middle of 7, and the server writes in 9. */
const promoted = { promotedAt: 7.5 * mebibyte, slotLsn: 5.25 * mebibyte, lsn: 9.5 * mebibyte };

async function untilStored(first: number, end?: number): Promise<void> {
  const below = end ?? (await at.server.state()).lsn;
  await until(
    `all from ${first} on is stored`,
    async () => (await at.missing(first, below, 'stored')).length === 0,
    90,
  );
}

async function isEmpty(): Promise<boolean> {
  return newest(await readReceived(at.folder)) === undefined;
}

test.for(streamSteps)('a stream that is killed at "%s" goes on without a hole', async (step) => {
  at = await makeStreamUnit(promoted);
  for (let number = 3; number < 9; number += 1) {
    const timeline = timelineAt(promoted, number);
    await at.write(segmentName(timeline, number, mebibyte), written(promoted, timeline, number));
  }
  await at.mark();
  let first = 3;
  if (step.startsWith('left')) {
    // What a stream has received and not stored, as when the destination was away while a primary became a standby.
    const receiver = await at.server.source().receive('test', at.folder);
    await until('it is received', async () => (await at.server.state()).slotLsn === promoted.lsn);
    receiver.kill('SIGKILL');
    await receiver.ended;
    await removeStreamMarker(at.unit);
    first = 5;
  }
  if (step === 'failure noted') await rename(at.destination, `${at.destination}.away`);

  expect(await at.startAndDie(step)).toBe('SIGKILL');

  if (step === 'failure noted') await rename(`${at.destination}.away`, at.destination);
  // What lies before the slot's segment the server gives nobody again.
  const { slotLsn } = await at.server.state();
  expect(await at.missing(5, slotLsn - (slotLsn % mebibyte), 'anywhere')).toEqual([]);
  const next = at.start();
  try {
    await untilStored(first, first === 5 ? promoted.lsn : undefined);
    if (first === 5) await until('the folder is empty', isEmpty);
    else await until('archiving works', async () => (await readArchiveState(at.unit))?.state !== 'failing');
  } finally {
    await next.stop();
  }
});

test('a stream whose slot has WAL that was received before begins with it and not anew', async () => {
  at = await makeStreamUnit({ ...promoted, promotedAt: null });
  await at.mark();
  const first = at.start();
  await untilStored(5);
  await first.stop();
  await at.server.write(12.25 * mebibyte);

  const second = at.start();
  try {
    await until('what came is stored', async () => (await at.missing(5, 12.25 * mebibyte, 'stored')).length === 0);
  } finally {
    await second.stop();
  }
  expect(await readdir(at.folder)).not.toContain('000000010000000000000005');
});

test('what a stream can not go on from is stored behind what the server has from before', async () => {
  // The standby was promoted while nothing was stored: the next segment is of another timeline than those received.
  at = await makeStreamUnit({ ...promoted, slotLsn: 6 * mebibyte });
  const state = await at.server.state();
  for (let number = 3; number < 9; number += 1) {
    const timeline = timelineAt(state, number);
    await at.write(segmentName(timeline, number, mebibyte), written(state, timeline, number));
  }
  await mkdir(at.folder, { recursive: true });
  for (const number of [5, 6])
    await writeFile(join(at.folder, segmentName(1, number, mebibyte)), written(state, 1, number));
  await at.mark();

  const stream = at.start();
  try {
    await untilStored(3);
  } finally {
    await stream.stop();
  }
});

test('the beginning of a segment is not stored before what was finished in between', async () => {
  at = await makeStreamUnit({ ...promoted, promotedAt: null });
  const state = await at.server.state();
  const name = (number: number) => segmentName(1, number, mebibyte);
  const place = async (number: number, end = '') => {
    await writeFile(join(at.folder, name(number) + end), written(state, 1, number));
  };
  await mkdir(at.folder, { recursive: true });
  await place(7);
  await place(8, '.partial');
  const push = new StreamPush(at.folder, (step) => {
    if (step !== 'segment stored' || !existsSync(join(at.folder, `${name(8)}.partial`))) return;
    renameSync(join(at.folder, `${name(8)}.partial`), join(at.folder, name(8)));
    writeFileSync(join(at.folder, `${name(9)}.partial`), written(state, 1, 9));
  });
  const owner = { ownerId: testOwner.ownerId, ...at.place };
  const session = { repository: at.repository, owner, level: 1, step: () => undefined };

  await push.push(session);
  expect(await storedNames()).toEqual([name(7)]);
  await push.push(session);
  expect(await storedNames()).toEqual([name(7), name(8), expect.stringContaining(name(9))]);
});

test('a beginning that can’t be removed, because the destination that has it is away, holds back no segment', async () => {
  at = await makeStreamUnit({ ...promoted, promotedAt: null });
  const state = await at.server.state();
  const path = (number: number, end = '') => join(at.folder, segmentName(1, number, mebibyte) + end);
  await mkdir(at.folder, { recursive: true });
  await writeFile(path(7, '.partial'), written(state, 1, 7).fill(0, mebibyte / 2));
  const push = new StreamPush(at.folder, () => undefined);
  const session = { repository: at.repository, owner: { ...testOwner, ...at.place }, level: 1, step: () => undefined };
  await push.push(session);
  expect(await storedNames()).toEqual([expect.stringMatching(/07\.\w+\.part$/)]);
  await rename(path(7, '.partial'), path(7));
  for (const number of [7, 8]) await writeFile(path(number), written(state, 1, number));
  const away = faultyStorage(at.repository.storage, [{ on: 'remove', do: 'fail-before' }]);

  await push.push({ ...session, repository: { ...at.repository, storage: away } });

  expect(await storedNames()).toEqual(expect.arrayContaining([7, 8].map((each) => segmentName(1, each, mebibyte))));
});

async function storedNames(): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const name of listWal(at.repository, at.place)) names.push(name);
  return names.sort();
}

/** What changes something that outlives the process, and the name of the step that has to come after it. */
const durable =
  /(?<!#|function )\b(seed|forget|makePrivateFolder|noteArchive\w+|removeParts|storePart|storeUnchanged)\(/;

test('everything durable that a stream does is followed by a step at which it can be killed', async () => {
  const folder = join(import.meta.dirname, '..', '..', 'src', 'archiver');
  const files = (await readdir(folder)).filter((file) => /^stream(?!-folder).*\.ts$/.test(file));
  const found = await Promise.all(files.map(async (file) => await withoutStep(join(folder, file), durable)));

  expect(found.reduce((sum, { seen }) => sum + seen, 0)).toBeGreaterThanOrEqual(8);
  expect(found.flatMap(({ without }) => without)).toEqual([]);
});
