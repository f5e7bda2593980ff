import { execa } from 'execa';
import { constants } from 'node:fs';
import { open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toFailure } from '../../src/core/failure.ts';
import { openDirectory } from '../../src/storage/directory.ts';
import { PatientFiles, usualFilePatience } from '../../src/storage/patient-files.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { until } from '../setup/wait.ts';
import { all, bodyOf, text } from './bytes.ts';
import { temporaryDirectory, type TemporaryDirectory } from './temporary-directory.ts';

let directory: TemporaryDirectory;
let url: string;
let pipe: string;

beforeEach(async () => {
  directory = await temporaryDirectory();
  url = `file://${directory.path}`;
  pipe = join(directory.path, 'pipe');
  await (await directory.open()).put('object', bodyOf('1'));
  // Who opens it for reading waits until somebody writes: a request that hangs, like one to a mount whose server is gone.
  await execa('mkfifo', [pipe]);
});

afterEach(async () => {
  await release();
  await directory.destroy();
});

/** Answers whoever waits at the pipe. */
async function release(): Promise<void> {
  const handle = await open(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  await handle.close();
}

async function openHasty(askMs: number): Promise<Storage> {
  return await openDirectory(directory.path, {
    url,
    isShared: () => false,
    patience: { askMs, writeMs: askMs },
  });
}

/** A destination of which one request hangs. */
async function makeSilent(): Promise<void> {
  // On a busy machine any request may take longer than so little: that is the same silence.
  const hasty = await openHasty(50).catch(() => undefined);
  await hasty?.get('pipe').catch(() => undefined);
  const isSilent = async () => {
    const failure = await (await directory.open()).get('object').catch((error: unknown) => toFailure(error));
    return failure instanceof Error && failure.message === `the destination ${url} does not answer`;
  };
  if (!(await isSilent().catch(() => true))) await makeSilent();
}

async function untilItAnswers(): Promise<void> {
  await until('it answers again', async () => {
    await release(); // The opening may have begun only now.
    const bytes = await directory
      .open()
      .then(async (storage) => await storage.get('object'))
      .catch(() => undefined);
    return bytes !== undefined && (await text(bytes)) === '1';
  });
}

test('a request that gets no answer fails in time, and no other is begun until it gets one', async () => {
  const patient = await directory.open();
  await makeSilent();

  const calls: readonly (() => Promise<unknown>)[] = [
    async () => await patient.get('object'),
    async () => await patient.put('other', bodyOf('1')),
    async () => await patient.remove('object'),
    async () => await patient.folders(''),
    async () => await all(patient.list('')),
    async () => await patient.freeBytes(),
    async () => await patient.clock(),
    async () => await patient.sweep('', new Date()),
    async () => await directory.open(),
  ];
  for (const call of calls) {
    await expect(call()).rejects.toMatchObject({
      kind: 'unavailable',
      message: `the destination ${url} does not answer`,
      hint: expect.stringContaining('Look at its mount'),
    });
  }
  expect((await readdir(directory.path)).toSorted()).toEqual(['object', 'pipe']);

  await untilItAnswers();
});

test('a file that was opened too late is closed', async () => {
  await makeSilent();

  await untilItAnswers();

  const { stdout } = await execa('find', [`/proc/${process.pid}/fd`, '-lname', pipe], { reject: false });
  expect(stdout).toBe('');
});

test('what is to be done when it answers again is done then', async () => {
  const files = new PatientFiles(url, usualFilePatience);
  const done: string[] = [];
  const work = async () => {
    done.push('closed');
    await Promise.resolve();
  };
  await makeSilent();
  await files.whenAnswering(work);
  expect(done).toEqual([]);

  await until('it is done', async () => {
    await release();
    return done.length === 1;
  });
});

test('another destination is asked meanwhile', async () => {
  await makeSilent();
  const other = await temporaryDirectory();

  await (await other.open()).put('object', bodyOf('1'));

  expect(await text(await (await other.open()).get('object'))).toBe('1');
  await rm(other.path, { recursive: true });
});
