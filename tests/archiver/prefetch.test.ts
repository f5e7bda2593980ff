import { execa } from 'execa';
import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, readdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { prefetchFolder } from '../../src/archiver/prefetch-spool.ts';
import { runPrefetch } from '../../src/archiver/prefetch.ts';
import { servePlanFile } from '../../src/archiver/restore-wal.ts';
import { servePlanSchema, type RestoreService } from '../../src/core/restore-service.ts';
import { parseWalName, segmentName } from '../../src/core/wal-name.ts';
import { walKey } from '../../src/repository/layout.ts';
import { storeWal } from '../../src/repository/wal-store.ts';
import { writeJson } from '../../src/system/files.ts';
import { markOf } from '../../src/system/process-mark.ts';
import { makeWalUnit, mebibyte, segmentBytes, type WalUnit } from '../setup/wal-unit.ts';
import { until } from '../setup/wait.ts';

let at: WalUnit;
let running: { readonly ended: Promise<void>; stop(): Promise<void> } | undefined;

beforeEach(async () => {
  at = await makeWalUnit();
  running = undefined;
  const bin = join(at.root, 'runtime', 'bin');
  await mkdir(bin, { recursive: true });
  await cp(join(import.meta.dirname, '..', '..', 'charm', 'bin', 'restore-wal'), join(bin, 'restore-wal'));
  await writeFile(join(bin, 'node'), `#!/bin/sh\n: >'${join(at.root, 'program')}'\nexit 7\n`);
  for (const program of ['restore-wal', 'node']) await chmod(join(bin, program), 0o755);
});

afterEach(async () => {
  await running?.stop();
  await at.remove();
});

const name = (number: number, timeline = 1) => segmentName(timeline, number, mebibyte);

async function store(number: number, timeline = 1): Promise<void> {
  const { path } = await at.segment({ timeline, number });
  const file = join(at.dataDirectory, path);
  await storeWal(at.repository, at.place, parseWalName(name(number, timeline)), file, 1);
  await rm(file);
}

/** Stores segments and puts a plan of them into service. */
async function plan(first: number, last: number, more: RestoreService['segments'] = []): Promise<void> {
  for (let number = first; number <= last; number += 1) await store(number);
  await mkdir(at.unit.restore, { recursive: true });
  await writeJson(servePlanFile(at.unit), servePlanSchema, {
    format: 1,
    planId: 'test',
    patienceSeconds: 0,
    service: {
      repositoryId: at.repository.record.id,
      url: at.url,
      systemIdentifier: at.place.systemIdentifier,
      segmentSize: mebibyte,
      segments: [{ timeline: 1, first, last, incarnation: 1 }, ...more],
      histories: [],
    },
  });
}

async function start(byteLimit?: number): Promise<void> {
  const mark = await markOf(process.pid);
  if (mark === undefined) throw new Error('this process has no mark');
  const stopping = new AbortController();
  const request = { unit: at.unit, dataDirectory: at.dataDirectory, mark, signal: stopping.signal };
  const ended = runPrefetch(byteLimit === undefined ? request : { ...request, byteLimit });
  running = {
    ended,
    stop: async () => {
      stopping.abort();
      await ended;
    },
  };
  await Promise.race([ended, sleep(100)]);
}

async function ready(): Promise<readonly string[]> {
  const files = await readdir(prefetchFolder(at.unit), { recursive: true }).catch(() => []);
  return files.flatMap((file) => /^[0-9a-f]+\/([0-9A-F]{24})$/.exec(file)?.[1] ?? []).sort();
}

async function untilReady(...names: readonly string[]): Promise<void> {
  await until(`${names.join(', ')} ready`, async () => {
    const known = await ready();
    return names.every((each) => known.includes(each));
  });
}

/** Asks as recovery does, and tells whose bytes lie in the place then; `program` when the front went to the program. */
async function ask(file: string, place = 'pg_wal/RECOVERYXLOG'): Promise<string> {
  await rm(join(at.dataDirectory, 'pg_wal', 'RECOVERYXLOG'), { force: true });
  await rm(join(at.root, 'program'), { force: true });
  const front = join(at.root, 'runtime', 'bin', 'restore-wal');
  const args = [at.unit.path, place, file];
  const { exitCode } = await execa(front, args, { cwd: at.dataDirectory, reject: false });
  const asked = await stat(join(at.root, 'program')).catch(() => undefined);
  if (asked !== undefined) {
    expect(exitCode).toBe(200);
    return 'program';
  }
  expect(exitCode).toBe(0);
  return digest(await readFile(join(at.dataDirectory, place)));
}

const digest = (plain: Uint8Array) => createHash('sha256').update(plain).digest('hex');
const bytes = (number: number, timeline = 1) => digest(segmentBytes({ timeline, number }));

test('recovery gets every segment of the plan in turn without the program', async () => {
  await plan(5, 30);
  await start(8 * mebibyte);

  // As recovery does, which replays a segment before it asks for the next.
  for (let number = 5; number <= 30; number += 1) {
    await untilReady(name(number));
    expect(await ask(name(number))).toBe(bytes(number));
  }

  expect(await ask(name(31))).toBe('program');
});

test('no more lies in the spool than its bound, whatever is stored', async () => {
  await plan(5, 30);
  await start(4 * mebibyte);
  await untilReady(name(5), name(6), name(7), name(8));
  await sleep(300);
  expect(await ready()).toHaveLength(4);

  await ask(name(5));
  await sleep(300);
  expect(await ready()).toHaveLength(4);
  await ask(name(6));
  await untilReady(name(9));
  expect(await ready()).toEqual([name(6), name(7), name(8), name(9)]);
});

test('a recovery that goes back, as from a restartpoint, is followed', async () => {
  await plan(5, 30);
  await start(4 * mebibyte);
  await untilReady(name(5));
  for (let number = 5; number <= 12; number += 1) await ask(name(number));

  expect(await ask(name(5))).toBe('program');
  await untilReady(name(6));
  expect(await ask(name(6))).toBe(bytes(6));
});

test('a segment with two timelines is fetched from both, and the history never', async () => {
  await store(7, 2);
  await store(8, 2);
  await plan(5, 7, [{ timeline: 2, first: 7, last: 8, incarnation: 1 }]);
  await start();
  await untilReady(name(5), name(6), name(7), name(7, 2), name(8, 2));

  expect(await ask('00000002.history')).toBe('program');
  expect(await ask(name(7, 2))).toBe(bytes(7, 2));
  expect(await ask(name(8, 2))).toBe(bytes(8, 2));
});

test('what is damaged at the destination is never handed over', async () => {
  await plan(5, 8);
  const object = join(at.destination, walKey(at.place, name(6)));
  const stored = await readFile(object);
  stored.writeUInt8(stored.readUInt8(stored.byteLength - 20) ^ 0xff, stored.byteLength - 20);
  await chmod(object, 0o640);
  await writeFile(object, stored);
  await start();
  await untilReady(name(5), name(7), name(8));

  expect(await ask(name(5))).toBe(bytes(5));
  expect(await ask(name(6))).toBe('program');
  expect(await ask(name(7))).toBe(bytes(7));
});

test('a destination that is away is for the program to say', async () => {
  await plan(5, 8);
  await rename(at.destination, `${at.destination}.away`);
  await start();

  expect(await ask(name(5))).toBe('program');
  await rename(`${at.destination}.away`, at.destination);
  await untilReady(name(6));
});

test('a segment that the spool could not take for a moment is fetched all the same', async () => {
  await plan(5, 12);
  await start(4 * mebibyte);
  await untilReady(name(5), name(6), name(7), name(8));
  const [folder = ''] = (await readFile(join(prefetchFolder(at.unit), 'current'), 'utf8')).split(' ');
  const inTheWay = join(prefetchFolder(at.unit), folder, `${name(9)}.coming`);
  await mkdir(inTheWay);
  await ask(name(5));
  await ask(name(6));
  await untilReady(name(10));
  await rmdir(inTheWay);

  // What failed is tried again after a while, and when there is room.
  const now = performance.now.bind(performance);
  const later = vi.spyOn(performance, 'now').mockImplementation(() => now() + 11_000);
  await ask(name(7));
  await untilReady(name(9)).finally(() => later.mockRestore());
});

const staleness: Readonly<Record<string, () => Promise<void>>> = {
  'the plan in service is another': async () => {
    await plan(8, 9);
  },
  'no plan is in service any more': async () => {
    await rm(servePlanFile(at.unit));
  },
  'it has lost its place': async () => {
    await rm(join(prefetchFolder(at.unit), 'current'));
  },
  'its process has ended': async () => {
    await changeCurrent((words) => words.with(1, '999999999'));
  },
  'a later process has its number': async () => {
    await changeCurrent((words) => words.with(2, '1'));
  },
  'the machine was started again': async () => {
    await changeCurrent((words) => words.with(3, '00000000-0000-0000-0000-000000000000'));
  },
};

async function changeCurrent(change: (words: string[]) => string[]): Promise<void> {
  const current = join(prefetchFolder(at.unit), 'current');
  const words = (await readFile(current, 'utf8')).trim().split(' ');
  await writeFile(current, `${change(words).join(' ')}\n`);
}

test.for(Object.entries(staleness))('what was fetched counts for nothing when %s', async ([, change]) => {
  await plan(5, 7);
  await start();
  await untilReady(name(5), name(6));
  expect(await ask(name(5))).toBe(bytes(5));

  await change();

  expect(await ask(name(6))).toBe('program');
});

test('on another file system the segment is copied, and nothing stays beside its place', async () => {
  await plan(5, 7);
  await start();
  await untilReady(name(5), name(6));
  await changeCurrent((words) => words.with(4, 'copy'));

  expect(await ask(name(5))).toBe(bytes(5));
  await writeFile(join(at.dataDirectory, 'pg_wal', 'RECOVERYXLOG'), 'recycled');
  expect(await ask(name(6))).toBe(bytes(6));
  expect((await readdir(join(at.dataDirectory, 'pg_wal'))).filter((each) => each.startsWith('.'))).toEqual([]);
});

test("what was handed over is PostgreSQL's to write over, and never handed over again", async () => {
  await plan(5, 9);
  await start();
  await untilReady(name(5), name(6));
  expect(await ask(name(5))).toBe(bytes(5));
  await writeFile(join(at.dataDirectory, 'pg_wal', 'RECOVERYXLOG'), 'recycled');
  expect(await ask(name(5))).toBe('program');

  expect(await ask(name(6))).toBe(bytes(6));
  expect(await ask(name(5))).toBe('program');
  await untilReady(name(6));
  expect(await ask(name(6))).toBe(bytes(6));
});

test('a file that lies in the place already is not replaced by the front', async () => {
  await plan(5, 6);
  await start();
  await untilReady(name(5));
  await writeFile(join(at.dataDirectory, 'pg_wal', 'other'), 'of another call');

  expect(await ask(name(5), 'pg_wal/other')).toBe('program');
  expect(await readFile(join(at.dataDirectory, 'pg_wal', 'other'), 'utf8')).toBe('of another call');
});

test('segments too large for the bound are left to the program', async () => {
  await plan(5, 7);
  await start(mebibyte);

  await running?.ended;
  expect(await ask(name(5))).toBe('program');
});

test('nothing of it stays when it ends', async () => {
  await plan(5, 7);
  await start();
  await untilReady(name(5));

  await running?.stop();

  expect(await readdir(at.unit.spool)).toEqual([]);
});
