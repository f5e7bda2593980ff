import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Failure } from '../../src/core/failure.ts';
import { jobBegins, jobFailed, jobId, jobSucceeded } from '../../src/core/journal-record.ts';
import { unitFolderAt, type UnitFolder } from '../../src/system/home.ts';
import { appendJournal, readJournal } from '../../src/system/journal.ts';

let unit: UnitFolder;
beforeEach(async () => {
  unit = unitFolderAt(await mkdtemp(join(tmpdir(), 'journal-')));
});
afterEach(async () => {
  await rm(unit.path, { recursive: true });
});

const startedAt = new Date('2026-11-24T02:00:00.000Z');

function begun(random: string) {
  return jobBegins({ id: jobId('backup', startedAt, random), kind: 'backup', trigger: 'schedule', startedAt });
}

test('a unit without a journal has no jobs', async () => {
  expect(await readJournal(unit)).toEqual([]);
});

test('a job that began and ended is one record with its end; one that only began was killed or runs', async () => {
  const [first, second] = [begun('000001'), begun('000002')];
  await appendJournal(unit, first);
  await appendJournal(unit, second);
  await appendJournal(unit, jobSucceeded(first, startedAt, { numbers: { bytes: 5 }, about: { backup: 'b' } }));

  expect(await readJournal(unit)).toEqual([
    { ...first, outcome: 'succeeded', endedAt: startedAt, numbers: { bytes: 5 }, about: { backup: 'b' } },
    second,
  ]);
});

test('a failure keeps its kind, message and hint', async () => {
  await appendJournal(
    unit,
    jobFailed(begun('000001'), startedAt, new Failure('unavailable', 'no disk', { hint: 'Mount it.' })),
  );

  expect(await readJournal(unit)).toMatchObject([
    { outcome: 'failed', failure: { kind: 'unavailable', message: 'no disk', hint: 'Mount it.' } },
  ]);
});

test('a line that was cut short costs itself only', async () => {
  await appendJournal(unit, begun('000001'));
  await appendFile(unit.journal, '{"format":1,"id":"backup-cut');
  await appendJournal(unit, begun('000002'));
  await appendFile(unit.journal, '{"format":1,"id":"backup-cut');

  expect((await readJournal(unit)).map(({ id }) => id.slice(-6))).toEqual(['000001', '000002']);
});

test('lines of many writers at once never mix', async () => {
  const ids = Array.from({ length: 50 }, (_, place) => String(place).padStart(6, '0'));

  await Promise.all(ids.map(async (id) => await appendJournal(unit, begun(id))));

  expect((await readJournal(unit)).map(({ id }) => id.slice(-6)).toSorted()).toEqual(ids);
});

test('a large journal is put aside, what it told is still told, and the second before it goes', async () => {
  const filler = `${'x'.repeat(1024 * 1024)}\n`;
  await appendJournal(unit, begun('000001'));
  await appendFile(unit.journal, filler);
  await appendJournal(unit, begun('000002'));
  expect((await readJournal(unit)).map(({ id }) => id.slice(-6))).toEqual(['000001', '000002']);

  await appendJournal(unit, begun('000003'));
  await appendFile(unit.journal, filler);
  await appendJournal(unit, begun('000004'));

  expect((await readJournal(unit)).map(({ id }) => id.slice(-6))).toEqual(['000003', '000004']);
});

test('only its owner can read it, and that it can not be written is said', async () => {
  await appendJournal(unit, begun('000001'));
  expect((await stat(unit.journal)).mode & 0o777).toBe(0o600);
  expect(await readFile(unit.journal, 'utf8')).toMatch(/^\{.*\}\n$/);

  const file = unitFolderAt(join(unit.path, 'file'));
  await writeFile(file.path, '');
  await expect(appendJournal(file, begun('000002'))).rejects.toMatchObject({ kind: 'machine' });
});
