import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { forgetServedIdentities, keepServedIdentities } from '../../src/archiver/served-identities.ts';
import { readLastFailure } from '../../src/archiver/last-failure.ts';
import { restoreWal, servePlanFile } from '../../src/archiver/restore-wal.ts';
import { isFailure, type Failure } from '../../src/core/failure.ts';
import { servePlanSchema, type RestoreService } from '../../src/core/restore-service.ts';
import { parseWalName, segmentName } from '../../src/core/wal-name.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import { walKey, type Place } from '../../src/repository/layout.ts';
import { storeWal } from '../../src/repository/wal-store.ts';
import { writeJson } from '../../src/system/files.ts';
import { ownerStateSchema } from '../../src/system/home.ts';
import { encryptionFor, encryptionOptions, newAgeKey } from '../setup/age.ts';
import { storeBeginning } from '../repository/copy-site.ts';
import { containing } from '../setup/containing.ts';
import { readTree } from '../setup/tree.ts';
import {
  makeWalUnit,
  mebibyte,
  segmentBytes,
  testIdentifier,
  testOwner,
  type SegmentFacts,
  type WalUnit,
} from '../setup/wal-unit.ts';

let at: WalUnit;
let isWanted: () => boolean;

beforeEach(async () => {
  at = await makeWalUnit();
  isWanted = () => true;
});

afterEach(async () => {
  await at.remove();
});

const clock = { now: () => new Date('2026-11-24T03:00:00Z') };
const target = () => join(at.dataDirectory, 'pg_wal', 'RECOVERYXLOG');

async function ask(name: string) {
  const request = { unit: at.unit, dataDirectory: at.dataDirectory, path: 'pg_wal/RECOVERYXLOG', name, isWanted };
  return await restoreWal(request, clock);
}

/** Asks for what must be neither served nor called absent; nothing lies in its place afterwards, nor a rest beside it. */
async function failure(name: string): Promise<Failure> {
  const error = await ask(name).catch((each: unknown) => each);
  if (!isFailure(error)) throw new Error(`${name} did not fail: ${String(error)}`);
  expect(await readdir(join(at.dataDirectory, 'pg_wal'))).toEqual([]);
  return error;
}

async function storeBytes(name: string, bytes: Uint8Array, place: Place = at.place): Promise<void> {
  const path = join(at.root, name);
  await writeFile(path, bytes);
  await storeWal(at.repository, place, parseWalName(name), path, 1);
}

async function store(facts: SegmentFacts, incarnation = 1): Promise<string> {
  const name = segmentName(facts.timeline, facts.number, facts.sizeBytes ?? mebibyte);
  await storeBytes(name, segmentBytes(facts), { ...at.place, incarnation });
  return name;
}

async function servePlan(service: Partial<RestoreService>, patienceSeconds = 0): Promise<void> {
  await mkdir(at.unit.restore, { recursive: true });
  const plan = {
    repositoryId: at.repository.record.id,
    url: at.url,
    systemIdentifier: testIdentifier,
    segmentSize: mebibyte,
    segments: [],
    histories: [],
    ...service,
  };
  const file = servePlanFile(at.unit);
  await writeJson(file, servePlanSchema, { format: 1, planId: 'test', patienceSeconds, service: plan });
}

const planned = {
  segments: [{ timeline: 1, first: 5, last: 7, incarnation: 1 }],
  histories: [{ timeline: 2, incarnation: 1 }],
};

async function damage(name: string, flipAtEnd: number): Promise<void> {
  const object = join(at.destination, walKey(at.place, name));
  const bytes = await readFile(object);
  const position = bytes.byteLength - flipAtEnd;
  bytes.writeUInt8(bytes.readUInt8(position) ^ 0xff, position);
  await chmod(object, 0o640);
  await writeFile(object, bytes);
}

test.for([1, 16, 64])('a planned segment of %i MiB is put in its place with its own bytes', async (size) => {
  const facts = { timeline: 1, number: 5, sizeBytes: size * mebibyte };
  const name = await store(facts);
  await servePlan({ ...planned, segmentSize: facts.sizeBytes });

  expect(await ask(name)).toBe('served');

  expect((await readFile(target())).equals(segmentBytes(facts))).toBe(true);
  expect(await readdir(join(at.dataDirectory, 'pg_wal'))).toEqual(['RECOVERYXLOG']);
});

test('an encrypted segment is served with what the restore was given, and never called absent without it', async () => {
  const [key, strange] = [newAgeKey(), newAgeKey()];
  await at.remove();
  // The settings know nothing that opens it.
  at = await makeWalUnit(encryptionOptions([key]));
  const name = await store({ timeline: 1, number: 5 });
  await servePlan(planned);

  expect(await failure(name)).toMatchObject({ kind: 'refused' });
  await keepServedIdentities(at.unit, encryptionFor([], [strange]).identities);
  expect(await failure(name)).toMatchObject({ kind: 'refused', message: containing(strange.fingerprint) });
  await keepServedIdentities(at.unit, encryptionFor([], [strange, key]).identities);
  expect(await ask(name)).toBe('served');
  expect((await readFile(target())).equals(segmentBytes({ timeline: 1, number: 5 }))).toBe(true);

  await writeFile(join(at.unit.restore, '.identities.txt.0123.tmp'), 'half of a sec');
  await forgetServedIdentities(at.unit);
  expect((await readdir(at.unit.restore)).filter((each) => each.includes('identities'))).toEqual([]);
});

test('a planned history is served, and one that the plan does without is absent though it is stored', async () => {
  await storeBytes('00000002.history', Buffer.from('1\t0/512345\tno recovery target specified\n'));
  await storeBytes('00000003.history', Buffer.from('1\t0/512345\tno recovery target specified\n'));
  await servePlan(planned);

  expect(await ask('00000002.history')).toBe('served');
  expect(await ask('00000003.history')).toBe('absent');
});

test('a segment beyond the end of the plan is absent though it is stored, even where nothing can be reached', async () => {
  await store({ timeline: 1, number: 8 });
  await servePlan(planned);
  expect(await ask('000000010000000000000008')).toBe('absent');

  await rename(at.destination, `${at.destination}.away`);
  expect(await ask('000000010000000000000008')).toBe('absent');
});

test('a planned segment that is not stored is never called absent', async () => {
  await servePlan(planned);

  const { kind, message } = await failure('000000010000000000000006');

  expect(kind).toBe('missing');
  expect(message).toContain('000000010000000000000006.zst is not there');
});

test('a planned segment at a destination that can not be reached is never called absent', async () => {
  const name = await store({ timeline: 1, number: 5 });
  await servePlan(planned);
  await rename(at.destination, `${at.destination}.away`);
  expect((await failure(name)).kind).toBe('unavailable');

  await mkdir(at.destination);
  const { kind, message } = await failure(name);
  expect(kind).toBe('unavailable');
  expect(message).toBe(`there is no repository at ${at.url}`);
});

test.for([
  ['checksum', 2],
  ['compressed bytes', 40],
])('a stored segment whose %s was changed is damaged, and the reason is left for the restore', async ([, position]) => {
  const name = await store({ timeline: 1, number: 5 });
  await servePlan(planned);
  await damage(name, Number(position));

  const { kind, message, hint = null } = await failure(name);

  expect(kind).toBe('damaged');
  expect(await readLastFailure(at.unit)).toEqual({
    format: 1,
    at: clock.now(),
    name,
    kind,
    message,
    hint,
    attempts: 1,
  });
});

test.for([
  ['another cluster', { systemIdentifier: '42' }, `it belongs to the cluster 42, not to ${testIdentifier}`],
  ['another place', { pageNumber: 6 }, 'its first page is 0/600000, by its name it would be 0/500000'],
  ['a later timeline', { pageTimeline: 3 }, 'its first page is of timeline 3, above the 1 of its name'],
  ['no PostgreSQL that we know', { magic: 0x1234 }, 'its page magic 1234 belongs to no PostgreSQL'],
] as const)('a stored segment of %s is not handed out', async ([, wrong, sentence]) => {
  const name = await store({ timeline: 1, number: 5, ...wrong });
  await servePlan(planned);

  const { kind, message } = await failure(name);

  expect(kind).toBe('damaged');
  expect(message).toContain(sentence);
});

test('a segment of another size than the plan says is not handed out', async () => {
  const name = segmentName(1, 5, mebibyte);
  await storeBytes(name, segmentBytes({ timeline: 1, number: 5 }));
  await servePlan({ ...planned, segmentSize: 2 * mebibyte });

  expect((await failure(name)).message).toContain("its segments are 1048576 bytes long, this cluster's 2097152");
});

test('a destination that comes back in time is waited for, and what was noted before is forgotten', async () => {
  const name = await store({ timeline: 1, number: 5 });
  await servePlan(planned);
  await rename(at.destination, `${at.destination}.away`);
  await failure(name);
  expect(await readLastFailure(at.unit)).toBeDefined();

  await servePlan(planned, 20);
  const asked = ask(name);
  await sleep(600);
  await rename(`${at.destination}.away`, at.destination);

  expect(await asked).toBe('served');
  expect(await readLastFailure(at.unit)).toBeUndefined();
});

test('what is damaged is read three times, then given up', async () => {
  const name = await store({ timeline: 1, number: 5 });
  await servePlan(planned, 60);
  await damage(name, 40);

  await failure(name);

  expect((await readLastFailure(at.unit))?.attempts).toBe(3);
});

test('nobody is served when the front has gone', async () => {
  const name = await store({ timeline: 1, number: 5 });
  await servePlan(planned, 60);
  isWanted = () => false;

  expect((await failure(name)).message).toBe(`nobody waits for ${name} any more`);
});

test('what a killed call left beside the target is swept by the next', async () => {
  const name = await store({ timeline: 1, number: 5 });
  await servePlan(planned);
  await writeFile(join(at.dataDirectory, 'pg_wal', '.landscape-backup.0123456789ab.tmp'), 'half');

  await ask(name);

  expect(await readdir(join(at.dataDirectory, 'pg_wal'))).toEqual(['RECOVERYXLOG']);
});

test('a plan that can not be read is a failure and not "no plan"', async () => {
  await mkdir(at.unit.restore);
  await writeFile(servePlanFile(at.unit), '{}');

  expect((await failure('000000010000000000000005')).kind).toBe('damaged');
});

test('serving a plan changes nothing at the destination', async () => {
  const name = await store({ timeline: 1, number: 5 });
  await servePlan(planned);
  const before = await readTree(at.destination);

  await ask(name);
  await ask('00000003.history');

  expect(await readTree(at.destination)).toEqual(before);
});

test('without a plan the end of the WAL is absent, and a hole in it is not', async () => {
  for (const number of [5, 6, 8, 0x1001]) await store({ timeline: 1, number });

  expect(await ask('000000010000000000000006')).toBe('served');
  await rm(target());
  const { kind, message } = await failure('000000010000000000000007');
  expect(kind).toBe('missing');
  expect(message).toBe(
    '000000010000000000000007 is not stored, but 000000010000000000000008 after it is: the WAL has a hole',
  );
  expect((await failure('000000010000000000000009')).message).toContain('but 000000010000000100000001 after it is');
  expect(await ask('000000010000000100000002')).toBe('absent');
  expect(await ask('000000020000000000000005')).toBe('absent');
  expect(await ask('00000002.history')).toBe('absent');
});

test('a beginning of a segment after a missing one tells of a hole as well', async () => {
  await store({ timeline: 1, number: 6 });
  const bytes = segmentBytes({ timeline: 1, number: 8 }).subarray(0, 8192);
  await storeBeginning(at.repository, at.place, '000000010000000000000008', bytes);

  expect((await failure('000000010000000000000007')).message).toContain('but 000000010000000000000008 after it is');
  expect(await ask('000000010000000000000008')).toBe('served');
  expect(await ask('000000010000000000000009')).toBe('absent');
});

test('a standby is told what is not there yet, hole or not', async () => {
  await store({ timeline: 1, number: 8 });
  await writeFile(join(at.dataDirectory, 'standby.signal'), '');
  expect(await ask('000000010000000000000007')).toBe('absent');

  await rm(join(at.dataDirectory, 'standby.signal'));
  await writeFile(join(at.dataDirectory, 'recovery.conf'), "standby_mode = 'on'\n");
  expect(await ask('000000010000000000000007')).toBe('absent');
});

test('a segment is served from the own incarnation first, then from its ancestor up to where that was left', async () => {
  const parent = { incarnation: 1, timeline: 1, lsn: 0x680000n };
  await claimIncarnation(at.repository, testIdentifier, 2, { ...testOwner, ownerId: 'owner-b', parent });
  for (const number of [5, 6, 7]) await store({ timeline: 1, number, fill: 'parent' });
  await store({ timeline: 2, number: 6, pageTimeline: 1, fill: 'child' }, 2);
  await store({ timeline: 2, number: 6, fill: 'parent' }, 1);
  await storeBytes('00000002.history', Buffer.from('1\t0/700000\tthe parent went on elsewhere\n'));
  await writeJson(at.unit.owner, ownerStateSchema, {
    ownerId: 'owner-b',
    systemIdentifier: testIdentifier,
    incarnation: 2,
  });

  expect(await ask('000000010000000000000006')).toBe('served');
  expect(await ask('000000020000000000000006')).toBe('served');
  expect((await readFile(target())).includes('child')).toBe(true);
  expect(await ask('000000010000000000000007')).toBe('absent');
  expect(await ask('00000002.history')).toBe('absent');
});

test('a copy reads the only line that there is, and none where there are several', async () => {
  const name = await store({ timeline: 1, number: 5 });
  await rm(at.unit.owner);
  expect(await ask(name)).toBe('served');
  await rm(target());

  for (const [number, ownerId] of [
    [2, 'owner-b'],
    [3, 'owner-c'],
  ] as const) {
    const parent = { incarnation: 1, timeline: 1, lsn: 0x680000n };
    await claimIncarnation(at.repository, testIdentifier, number, { ...testOwner, ownerId, parent });
  }
  expect((await failure(name)).message).toContain('it is not clear which incarnation');
});

test('a unit folder that is not there, and one of another cluster, serve nothing and call nothing absent', async () => {
  const name = await store({ timeline: 1, number: 5 });
  await writeJson(at.unit.owner, ownerStateSchema, {
    ownerId: testOwner.ownerId,
    systemIdentifier: '42',
    incarnation: 1,
  });
  expect((await failure(name)).message).toContain(`this is the cluster ${testIdentifier}`);

  await rm(at.unit.path, { recursive: true });
  expect((await failure(name)).message).toContain('has no plan in service and names no repository');
});
