import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { takeRestoreLock } from '../../../src/jobs/restore/restore-lock.ts';
import { unitFolder, type UnitFolder } from '../../../src/system/home.ts';
import { takeLock } from '../../../src/system/lock.ts';

const cluster = { label: '15/main' };
let folder: string;
let unit: UnitFolder;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lb-restore-lock-'));
  unit = { ...unitFolder(folder, '15-main'), lock: (name) => join(folder, `${name}.lock`) };
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

test('who comes in the moment in which another one ends waits for it', async () => {
  const ending = await takeLock(unit.lock('restore'), 'a restore that is killed');
  const taking = takeRestoreLock({ unit, cluster });
  await sleep(200); // It has found the lock taken by then.
  await ending.release();

  await (await taking).release();
});

test('one that runs is told, and its lock stays its own', async () => {
  const running = await takeLock(unit.lock('restore'), 'a restore');

  await expect(takeRestoreLock({ unit, cluster })).rejects.toMatchObject({
    kind: 'busy',
    message: 'a restore of 15/main is already running',
  });

  await running.release();
});
