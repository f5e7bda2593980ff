import { expect, test } from 'vitest';
import { lagLevel, lagText, progressText, type ArchiveLag } from '../../src/core/archive-lag.ts';

const gibibyte = 1024 ** 3;
const none: ArchiveLag = { files: 0, bytes: 0, oldest: null, freeBytes: 100 * gibibyte, last: null, rate: null };
const waits = (seconds: number, more: Partial<ArchiveLag> = {}): ArchiveLag => ({
  ...none,
  files: 10,
  bytes: gibibyte,
  oldest: { name: '000000010000000000000005', seconds },
  ...more,
});

test.for<[string, ArchiveLag, number, string]>([
  ['nothing waits', none, 60, 'ok'],
  ['what waits is new', waits(299), 60, 'ok'],
  ['what waits is five minutes old', waits(300), 60, 'attention'],
  ['what waits is half an hour old', waits(1800), 60, 'alarm'],
  ['segments are only ended every ten minutes', waits(1199), 600, 'ok'],
  ['twice the time to the end of a segment has gone by', waits(1200), 600, 'attention'],
  ['half an hour is nothing to a segment that ends every hour', waits(1800), 3600, 'ok'],
  ['archive_timeout is off', waits(300), 0, 'attention'],
  ['a quarter of what is free waits', waits(0, { freeBytes: 4 * gibibyte }), 60, 'attention'],
  ['less than a quarter of what is free waits', waits(0, { freeBytes: 4 * gibibyte + 1 }), 60, 'ok'],
  ['as much waits as is free', waits(0, { freeBytes: gibibyte }), 60, 'alarm'],
  ['the disk is full', waits(0, { freeBytes: 0 }), 60, 'alarm'],
  ['the disk is full of other things', { ...none, freeBytes: 0 }, 60, 'ok'],
  ['three large segments wait on a small disk', waits(0, { files: 3, freeBytes: 0 }), 60, 'ok'],
  ['what is free is not known', waits(0, { freeBytes: null }), 60, 'ok'],
])('%s', ([, lag, archiveTimeout, level]) => {
  expect(lagLevel(lag, archiveTimeout)).toBe(level);
});

test('it is told in words, as far as it is known', () => {
  expect(lagText(waits(3700))).toBe(
    '10 WAL files (1.0 GiB) wait to be archived, the oldest (000000010000000000000005) for 62 min; 100 GiB are free there',
  );
  expect(lagText({ ...waits(4, { files: 1 }), freeBytes: null })).toBe(
    '1 WAL file (1.0 GiB) waits to be archived, the oldest (000000010000000000000005) for 4 s',
  );
  expect(progressText(none)).toBe('');
  expect(progressText({ ...none, rate: { archived: 9.96, written: 120.4 } })).toBe(
    '10 segments a minute archived, 120 written',
  );
});
