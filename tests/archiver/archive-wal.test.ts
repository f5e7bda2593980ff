import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { archiveWal } from '../../src/archiver/archive-wal.ts';
import { isFailure, type Failure } from '../../src/core/failure.ts';
import { repositorySchema } from '../../src/core/record.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import { isSharedFolder, walKey } from '../../src/repository/layout.ts';
import { createRepository } from '../../src/repository/repository.ts';
import { readWal } from '../../src/repository/wal-store.ts';
import { openDirectory } from '../../src/storage/directory.ts';
import { readArchiveState } from '../../src/system/archive-state.ts';
import { formatJson } from '../../src/system/files.ts';
import { settingsFile, writeOwnerState } from '../../src/system/home.ts';
import { readTree } from '../setup/tree.ts';
import { makeWalUnit, mebibyte, segmentBytes, testIdentifier, testOwner, type WalUnit } from '../setup/wal-unit.ts';

let at: WalUnit;
let now: Date;

beforeEach(async () => {
  at = await makeWalUnit();
  now = new Date('2026-11-24T03:00:00Z');
});

afterEach(async () => {
  await at.remove();
});

const clock = { now: () => now };

async function archive(file: { name: string; path: string }) {
  return await archiveWal({ unit: at.unit, dataDirectory: at.dataDirectory, ...file }, clock);
}

/** Archives a file that must be refused, and gives back how. The destination keeps its bytes. */
async function refusal(file: { name: string; path: string }): Promise<Failure> {
  const before = await readTree(at.destination);
  const error = await archive(file).catch((each: unknown) => each);
  expect(await readTree(at.destination)).toEqual(before);
  if (!isFailure(error)) throw new Error(`${file.name} was not refused: ${String(error)}`);
  return error;
}

async function stored(name: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of readWal(at.repository, walKey(at.place, name))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test.for([1, 16, 64])('a segment of %i MiB is stored with its own bytes', async (size) => {
  const facts = { timeline: 1, number: 5, sizeBytes: size * mebibyte };
  const file = await at.segment(facts);

  expect(await archive(file)).toBe('stored');

  expect((await stored(file.name)).equals(segmentBytes(facts))).toBe(true);
});

test('every kind of file that PostgreSQL archives is stored with its own bytes', async () => {
  const files = [
    await at.write('000000010000000000000005.partial', segmentBytes({ timeline: 1, number: 5 })),
    await at.write('000000010000000000000005.00000028.backup', Buffer.from('START WAL LOCATION: 0/500028 (file …)\n')),
    await at.write('00000002.history', Buffer.from('1\t0/512345\tno recovery target specified\n')),
  ];

  for (const file of files) expect(await archive(file)).toBe('stored');

  for (const { name, path } of files) {
    expect((await stored(name)).equals(await readFile(join(at.dataDirectory, path)))).toBe(true);
  }
});

test('the first segment after a promotion may carry the pages of its parent', async () => {
  expect(await archive(await at.segment({ timeline: 2, number: 5, pageTimeline: 1 }))).toBe('stored');
});

test('a segment that comes again with the same bytes is a success and changes nothing', async () => {
  const file = await at.segment({ timeline: 1, number: 5 });
  await archive(file);
  const before = await readTree(at.destination);

  expect(await archive(file)).toBe('already-stored');

  expect(await readTree(at.destination)).toEqual(before);
});

test('a segment that comes again with other bytes is refused, and its bytes are kept aside once', async () => {
  await archive(await at.segment({ timeline: 1, number: 5 }));
  const other = { timeline: 1, number: 5, fill: 'other' };
  const file = await at.segment(other);

  const first = await refusal(file);
  const second = await refusal(file);

  expect(first.kind).toBe('conflict');
  expect(first.message).toMatch(
    /^000000010000000000000005 is stored already with other bytes; its bytes are kept in \//,
  );
  expect(second.message).toBe(first.message);
  const kept = await readdir(at.unit.rejected);
  expect(kept).toHaveLength(1);
  expect((await readFile(join(at.unit.rejected, kept[0] ?? ''))).equals(segmentBytes(other))).toBe(true);
});

test('a history that comes again with other bytes is refused like a segment', async () => {
  await archive(await at.write('00000002.history', Buffer.from('1\t0/512345\tone\n')));

  const failure = await refusal(await at.write('00000002.history', Buffer.from('1\t0/512345\tanother\n')));

  expect(failure.message).toMatch(/^00000002.history is stored already with other bytes/);
});

test('not more than sixteen rejected files are kept', async () => {
  await archive(await at.segment({ timeline: 1, number: 5 }));
  const messages: string[] = [];

  for (let round = 0; round < 18; round += 1) {
    messages.push((await refusal(await at.segment({ timeline: 1, number: 5, fill: `other ${round}` }))).message);
  }

  expect(await readdir(at.unit.rejected)).toHaveLength(16);
  expect(messages.at(15)).toContain('its bytes are kept in');
  expect(messages.at(16)).toMatch(/its bytes are not kept aside: .* holds 16 files already$/);
  const kept = await refusal(await at.segment({ timeline: 1, number: 5, fill: 'other 3' }));
  expect(kept.message).toBe(messages.at(3));
});

test.for([
  ['is of another cluster', { systemIdentifier: '42' }, `it belongs to the cluster 42, not to ${testIdentifier}`],
  ['is of another place', { pageNumber: 6 }, 'its first page is 0/600000, by its name it would be 0/500000'],
  ['is of a later timeline', { pageTimeline: 3 }, 'its first page is of timeline 3, above the 1 of its name'],
  ['has no known magic', { magic: 0x1234 }, 'its page magic 1234 belongs to no PostgreSQL from 9.5 to 18'],
] as const)('a segment whose header %s is refused', async ([, wrong, sentence]) => {
  const failure = await refusal(await at.segment({ timeline: 1, number: 5, ...wrong }));

  expect(failure.kind).toBe('refused');
  expect(failure.message).toMatch(/data\/pg_wal\/000000010000000000000005 can't be what its name says: /);
  expect(failure.message).toContain(sentence);
});

test('a segment that was cut short is refused', async () => {
  const whole = segmentBytes({ timeline: 1, number: 5 });

  const failure = await refusal(await at.write('000000010000000000000005', whole.subarray(0, mebibyte - 8192)));

  expect(failure.message).toContain('it is 1040384 bytes long, a segment of this cluster is 1048576');
});

test.for([
  ['00000002.history', '2\t0/512345\titself\n', 'it continues timeline 2'],
  ['00000002.history', 'nonsense\n', 'has a line that is none'],
  ['00000002.history', '', 'it names no parent'],
  ['000000010000000000000005.00000028.backup', 'something', 'it does not begin like a backup label'],
] as const)('a text file %s of "%s" is refused', async ([name, text, sentence]) => {
  expect((await refusal(await at.write(name, Buffer.from(text)))).message).toContain(sentence);
});

test.for(['postgresql.conf', '000000010000000000000005.tmp', '../x', '00000001000000000000000g', ''])(
  'the name "%s" is none that PostgreSQL archives',
  async (name) => {
    expect((await refusal({ name, path: 'pg_wal/x' })).kind).toBe('usage');
  },
);

test('a file that is not there is said', async () => {
  const failure = await refusal({ name: '000000010000000000000005', path: 'pg_wal/000000010000000000000005' });

  expect(failure.kind).toBe('machine');
  expect(failure.message).toMatch(/pg_wal\/000000010000000000000005 could not be opened: ENOENT$/);
});

test('a stored object that is damaged is not called stored, and the hint says which to remove', async () => {
  const file = await at.segment({ timeline: 1, number: 5 });
  await archive(file);
  const object = join(at.destination, walKey(at.place, file.name));
  const bytes = await readFile(object);
  bytes.writeUInt8(bytes.readUInt8(bytes.byteLength - 20) ^ 0xff, bytes.byteLength - 20);
  await chmod(object, 0o640);
  await writeFile(object, bytes);

  const failure = await refusal(file);

  expect(failure.kind).toBe('damaged');
  expect(failure.message).toMatch(/^000000010000000000000005 is stored already, but damaged: /);
  expect(failure.hint).toContain(`remove ${at.url}/${walKey(at.place, file.name)}`);

  await rm(object);
  expect(await archive(file)).toBe('stored');
});

test('a unit without an owner state archives nothing', async () => {
  await rm(at.unit.owner);

  const failure = await refusal(await at.segment({ timeline: 1, number: 5 }));

  expect(failure.message).toMatch(/15-main owns no incarnation, so it may not archive$/);
  expect(failure.hint).toContain('landscape-backup take-over');
});

test("a unit with another owner's id archives nothing", async () => {
  await writeOwnerState(at.unit, { ...at.place, ownerId: 'owner-b' });

  const failure = await refusal(await at.segment({ timeline: 1, number: 5 }));

  expect(failure.message).toBe(
    `incarnation 1 of cluster ${testIdentifier} belongs to 15-main of test-host, not to this unit`,
  );
});

test('an incarnation that the repository does not hold is not made by archiving', async () => {
  await writeOwnerState(at.unit, { ...at.place, incarnation: 2, ownerId: testOwner.ownerId });

  const failure = await refusal(await at.segment({ timeline: 1, number: 5 }));

  expect(failure.message).toContain(`holds no incarnation 2 of cluster ${testIdentifier}`);
});

test('after a take-over only the new incarnation gets WAL', async () => {
  const parent = { incarnation: 1, timeline: 1, lsn: 0x500000n };
  await claimIncarnation(at.repository, testIdentifier, 2, { ...testOwner, ownerId: 'owner-b', parent });
  await writeOwnerState(at.unit, { ...at.place, incarnation: 2, ownerId: 'owner-b' });

  await archive(await at.segment({ timeline: 2, number: 5, pageTimeline: 1 }));

  const names = Object.keys(await readTree(at.destination)).filter((name) => name.includes('/wal/'));
  expect(names).toEqual([`clusters/${testIdentifier}/2/wal/00000002/00000000/000000020000000000000005.zst`]);
});

test('a clone that a server of another name runs is told from its original by its configuration', async () => {
  const options =
    '/usr/lib/postgresql/15/bin/postgres "-D" "/x" "-c" "config_file=/etc/postgresql/15/clone/postgresql.conf"\n';
  await writeFile(join(at.dataDirectory, 'postmaster.opts'), options);

  const failure = await refusal(await at.segment({ timeline: 1, number: 5 }));

  expect(failure.message).toMatch(/data is 15-clone, its archive_command speaks for 15-main$/);
});

test('a clone that was started without the configuration of its original is told from it', async () => {
  const folder = join(at.root, 'conf', '15', 'main');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'postgresql.conf'), '');
  await writeFile(join(at.dataDirectory, 'postmaster.opts'), '/usr/lib/postgresql/15/bin/postgres "-D" "/x"\n');

  const failure = await refusal(await at.segment({ timeline: 1, number: 5 }));

  expect(failure.message).toMatch(
    /data was not started with \S+postgresql\.conf, its archive_command speaks for 15-main$/,
  );
});

test('an empty destination, no pin and a settings file that is none are said', async () => {
  const file = await at.segment({ timeline: 1, number: 5 });

  await writeFile(settingsFile(at.home), 'destination: srv\n');
  expect((await refusal(file)).message).toContain('option destination is "srv"');
  await writeFile(settingsFile(at.home), '');
  expect((await refusal(file)).message).toBe('the option destination is empty');
  await writeFile(settingsFile(at.home), `destination: ${at.url}\n`);
  await rm(at.unit.pin);
  expect((await refusal(file)).message).toMatch(/15-main names no repository$/);
});

test('another repository in the place of the pinned one gets nothing', async () => {
  const file = await at.segment({ timeline: 1, number: 5 });
  await rename(at.destination, `${at.destination}.away`);
  await mkdir(at.destination);
  await createRepository(await openDirectory(at.destination, { url: at.url, isShared: isSharedFolder }), now);

  const failure = await refusal(file);

  expect(failure.kind).toBe('unavailable');
  expect(failure.message).toMatch(
    /^the repository at file:.*destination is [0-9a-f]{32}, this machine's is [0-9a-f]{32}$/,
  );
});

test('a repository of a newer format gets nothing', async () => {
  const file = await at.segment({ timeline: 1, number: 5 });
  const text = formatJson(repositorySchema, at.repository.record).replace('"format": 1', '"format": 2');
  await chmod(join(at.destination, 'repository.json'), 0o640);
  await writeFile(join(at.destination, 'repository.json'), text);

  expect((await refusal(file)).message).toContain('has format 2, this version knows format 1');
});

test('a destination that is not mounted gets nothing, neither directory nor file', async () => {
  const file = await at.segment({ timeline: 1, number: 5 });
  await rename(at.destination, `${at.destination}.away`);

  const gone = await archive(file).catch((error: unknown) => error);
  expect(isFailure(gone, 'unavailable') && gone.message).toBe(`the destination ${at.url} is not there`);
  await expect(readdir(at.destination)).rejects.toThrow('ENOENT');

  await mkdir(at.destination);
  const empty = await refusal(file);
  expect(empty.message).toBe(`there is no repository at ${at.url}`);
  expect(await readdir(at.destination)).toEqual([]);
});

test('a log that has the reason is not told it again, unless it is another one, or ten minutes or a clock have passed', async () => {
  const first = await at.segment({ timeline: 1, number: 5 });
  const isKnownAt = async (time: string, file = first) => {
    now = new Date(`2026-11-24T${time}Z`);
    let isKnown = false;
    const known = () => {
      isKnown = true;
    };
    const request = { unit: at.unit, dataDirectory: at.dataDirectory, ...file };
    const failure = await archiveWal(request, clock, { known }).catch((error: unknown) => error);
    expect(isFailure(failure)).toBe(true);
    return isKnown;
  };

  await rename(at.destination, `${at.destination}.away`);
  expect(await isKnownAt('03:00:00')).toBe(false);
  expect(await isKnownAt('03:00:01')).toBe(true);
  expect(await isKnownAt('03:09:59', await at.segment({ timeline: 1, number: 6 }))).toBe(true);
  expect(await isKnownAt('03:10:00')).toBe(false);
  expect(await isKnownAt('03:10:01')).toBe(true);
  expect(await isKnownAt('02:00:00')).toBe(false);
  await mkdir(at.destination);
  expect(await isKnownAt('02:00:01')).toBe(false);
  expect(await isKnownAt('02:00:02')).toBe(true);

  await rm(at.destination, { recursive: true });
  await rename(`${at.destination}.away`, at.destination);
  await archive(first);
  await rename(at.destination, `${at.destination}.away`);
  expect(await isKnownAt('02:00:04')).toBe(false);
});

test('how archiving goes is written down when it changes', async () => {
  const first = await at.segment({ timeline: 1, number: 5 });
  await archive(first);
  expect(await readArchiveState(at.unit)).toBeUndefined();

  await rename(at.destination, `${at.destination}.away`);
  await archive(first).catch(() => undefined);
  now = new Date('2026-11-24T03:05:00Z');
  const second = await at.segment({ timeline: 1, number: 6 });
  await archive(second).catch(() => undefined);
  expect(await readArchiveState(at.unit)).toEqual({
    format: 1,
    state: 'failing',
    since: new Date('2026-11-24T03:00:00Z'),
    name: second.name,
    kind: 'unavailable',
    message: `the destination ${at.url} is not there`,
    hint: `Mount it, or make the directory: install -d -m 2770 -o postgres -g postgres ${at.destination}`,
    loggedAt: new Date('2026-11-24T03:00:00Z'),
  });

  await rename(`${at.destination}.away`, at.destination);
  await archive(first);
  expect(await readArchiveState(at.unit)).toEqual({ format: 1, state: 'ok', since: now });
});

test('a call ends at its limit, whatever the destination does', async () => {
  const file = await at.segment({ timeline: 1, number: 5, sizeBytes: 64 * mebibyte });
  const request = { unit: at.unit, dataDirectory: at.dataDirectory, ...file };

  const error = await archiveWal(request, clock, { limitMs: 1 }).catch((each: unknown) => each);

  expect(isFailure(error, 'unavailable') && error.message).toBe(`archiving ${file.name} took longer than 0 s`);
});
