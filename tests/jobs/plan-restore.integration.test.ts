import { execa } from 'execa';
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Backup } from '../../src/core/backup.ts';
import { formatLsn, parseLsn } from '../../src/core/lsn.ts';
import { parseTarget } from '../../src/core/parse-target.ts';
import { recoverySettings } from '../../src/core/recovery-settings.ts';
import { segmentEndingAt, segmentName, segmentOf } from '../../src/core/wal-name.ts';
import { endOf, type WalRecord } from '../../src/core/wal-record.ts';
import { keepPlan } from '../../src/jobs/kept-plans.ts';
import { confirmPlan } from '../../src/jobs/confirm-plan.ts';
import type { PlanContext, RestoreRequest } from '../../src/jobs/plan-context.ts';
import { planRestore, type PlannedRestore } from '../../src/jobs/plan-restore.ts';
import { readWalRecords } from '../../src/jobs/read-wal.ts';
import { readControlData } from '../../src/postgres/control-data.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import { isSharedFolder, layout, walKey, type Place } from '../../src/repository/layout.ts';
import { createRepository, type Repository } from '../../src/repository/repository.ts';
import { openDirectory } from '../../src/storage/directory.ts';
import { machineClock } from '../../src/system/clock.ts';
import { unitFolder } from '../../src/system/home.ts';
import { becomeOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';
import {
  archiveAll,
  makeHandArchive,
  recoverForReal,
  takePlainBackup,
  type HandArchive,
} from '../setup/written-history.ts';

const megabyte = 1024 * 1024;

/** One committed row, and the moment after its commit. */
interface Written {
  readonly row: number;
  readonly xid: number;
  readonly after: Date;
  readonly afterLsn: bigint;
}

let machine: Machine;
let production: TestCluster;
let spare: TestCluster;
let archive: HandArchive;
let repository: Repository;
let place: Place;
let backups: { readonly record: Backup; readonly directory: string }[];
const written: Written[] = [];
let firstPreparedXid = 0;
let context: PlanContext;

const request: RestoreRequest = {
  target: { to: 'end' },
  inPlace: false,
  discardOld: false,
  takeOver: false,
  tablespaceMap: {},
  credentials: 'spare',
};

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
  archive = await makeHandArchive(machine.root);
  const settings = { ...archive.settings, max_prepared_transactions: '5', log_min_messages: 'warning' };
  production = await machine.createCluster('production', { settings });
  spare = await machine.createCluster('spare', { settings: { max_connections: '20' } });
  const { systemIdentifier } = await readControlData(production.cluster.binaries, production.cluster.dataDirectory);
  place = { systemIdentifier, incarnation: 1 };
  const storage = await openDirectory(machine.destination, {
    url: `file://${machine.destination}`,
    isShared: isSharedFolder,
  });
  ({ repository } = await createRepository(storage, new Date()));
  await claimIncarnation(repository, systemIdentifier, 1, {
    format: 1,
    ownerId: 'production',
    model: 'machine',
    application: 'host',
    unit: '15-production',
    since: new Date(),
    parent: null,
  });
  await production.start();
  await writeHistory();
  await archive.store(repository, place);
  await mkdir(join(machine.home, '15-spare'), { recursive: true, mode: 0o700 });
  context = { cluster: spare.cluster, unit: unitFolder(machine.home, '15-spare'), repository, clock: machineClock };
});

afterAll(async () => {
  await machine.destroy();
});

/** Two backups and, between and after them, everything that ends or does not end a transaction. */
async function writeHistory(): Promise<void> {
  await production.sql('create table t (row int, filler text)');
  const first = join(machine.root, 'backup-1');
  backups = [{ record: await takePlainBackup(production, archive, repository, place, first), directory: first }];
  for (let row = 1; row <= 4; row += 1) await write(row);
  await production.sql(`begin; insert into t values (-1, 'rolled back'); rollback`);
  await production.sql(`begin; insert into t values (-2, 'given up'); prepare transaction 'gone'`);
  await production.sql(`rollback prepared 'gone'`);
  await production.sql(`select pg_create_restore_point('before the upgrade; really')`);
  await write(5);
  await commitAcrossSegments(6);
  firstPreparedXid = Number(
    (
      await production.sql(
        `begin; insert into t values (7, 'prepared'); select pg_current_xact_id(); prepare transaction 'it''s a: gid'`,
      )
    ).split('\n')[2],
  );
  await production.sql(`commit prepared 'it''s a: gid'`);
  await note(7, firstPreparedXid);
  await production.stop();
  await writeFile(
    join(machine.root, 'conf', '15', 'production', 'conf.d', 'more.conf'),
    'max_connections = 130\nmax_locks_per_transaction = 70\n',
  );
  await production.start();
  await write(8);
  const second = join(machine.root, 'backup-2');
  backups.push({ record: await takePlainBackup(production, archive, repository, place, second), directory: second });
  for (let row = 9; row <= 11; row += 1) await write(row);
  await archiveAll(production, archive);
}

async function write(row: number): Promise<void> {
  // Long and short rows alternate, so that records begin and end anywhere on their pages.
  const filler =
    row % 2 === 0
      ? `(select string_agg(md5(random()::text), '') from generate_series(1, ${String(row * 3000)}))`
      : `'short'`;
  const out = await production.sql(
    `begin; alter table t alter filler set storage external; insert into t values (${String(row)}, ${filler}); select pg_current_xact_id(); commit`,
  );
  await note(row, Number(out.split('\n')[3]));
}

async function note(row: number, xid: number): Promise<void> {
  const out = await production.sql(
    `select pg_sleep(0.02); select (extract(epoch from clock_timestamp()) * 1000)::bigint, pg_current_wal_insert_lsn(); select pg_sleep(0.02)`,
  );
  const [millis = '', lsn = ''] = (out.split('\n')[1] ?? '').split('|');
  written.push({ row, xid, after: new Date(Number(millis)), afterLsn: parseLsn(lsn) });
}

/** Fills the segment so far that the commit which follows begins in it and ends in the next. */
async function commitAcrossSegments(row: number): Promise<void> {
  const out = await production.sql(`
    create function room() returns bigint language sql as $$ select ${String(megabyte)} - (pg_current_wal_insert_lsn() - '0/0') % ${String(megabyte)} $$;
    begin;
    insert into t values (${String(row)}, 'across');
    select pg_current_xact_id();
    select count(pg_logical_emit_message(false, 'fill', repeat('x', 4000))) from generate_series(1, (room() / 4300)::int - 1);
    do $$ begin
      while room() > 400 loop perform pg_logical_emit_message(false, 'fill', repeat('x', 100)); end loop;
      while room() > 80 loop perform pg_logical_emit_message(false, 'f', ''); end loop;
      if room() > 32 then perform pg_logical_emit_message(false, 'f', repeat('x', greatest(0, room()::int - 80))); end if;
    end $$;
    commit`);
  await note(row, Number(out.split('\n')[3]));
}

async function plan(wishes: Partial<RestoreRequest>): Promise<PlannedRestore> {
  return await planRestore(context, { ...request, ...wishes });
}

/** Serves exactly what the plan says, recovers with the plan's settings, and gives back the rows. */
async function recover(planned: PlannedRestore): Promise<{ rows: number[]; switchLsn: bigint; timeline: number }> {
  const { plan: made } = planned;
  const root = await mkdtemp(join(machine.root, 'recovery-'));
  const served = join(root, 'served');
  await mkdir(served);
  for (const { timeline, first, last } of made.service.segments) {
    for (let number = first; number <= last; number += 1) {
      const name = segmentName(timeline, number, made.segmentSize);
      await execa('cp', [join(archive.folder, name), served]);
    }
  }
  const { files, options } = recoverySettings({
    major: made.major,
    target: made.target,
    stop: made.stop,
    timeline: made.timeline,
    restoreCommand: `cp ${served}/%f %p`,
  });
  const recovered = await recoverForReal({
    backupDirectory: backups.find(({ record }) => record.id === made.backup.id)?.directory ?? '',
    directory: join(root, 'data'),
    binaries: spare.cluster.binaries,
    port: 5400,
    files,
    settings: [
      ...options,
      ['max_prepared_transactions', '5'],
      ['max_connections', String(made.settings.raised['max_connections'] ?? 20)],
    ],
  });
  const rows = (await recovered.ask('select row from t order by row')).split('\n').filter(Boolean).map(Number);
  await recovered.stop();
  return { rows, switchLsn: recovered.switchLsn, timeline: recovered.timeline };
}

function upTo(row: number): number[] {
  return Array.from({ length: row }, (_, index) => index + 1);
}

function of(row: number): Written {
  const found = written.find((each) => each.row === row);
  if (found === undefined) throw new Error(`row ${String(row)} was not written`);
  return found;
}

function recordsFromTheStart(windowSegments?: number): AsyncGenerator<WalRecord, void> {
  const from = backups[0]?.record.startLsn ?? 0n;
  const last = segmentOf(of(11).afterLsn, megabyte);
  return readWalRecords({
    repository,
    systemIdentifier: place.systemIdentifier,
    segmentSize: megabyte,
    stretches: [{ incarnation: 1, timeline: 1, first: segmentOf(from, megabyte), last }],
    scratch: join(machine.root, 'scratch'),
    binaries: spare.cluster.binaries,
    major: '15',
    from,
    all: false,
    ...(windowSegments === undefined ? {} : { windowSegments }),
  });
}

async function readAll(windowSegments?: number): Promise<readonly WalRecord[]> {
  const found: WalRecord[] = [];
  for await (const record of recordsFromTheStart(windowSegments)) found.push(record);
  return found;
}

test('the history holds a commit that crosses from one segment to the next, and it is read', async () => {
  const commits = (await readAll()).filter(({ fact }) => fact.is === 'commit');

  const crossing = commits.filter(
    (record) => segmentOf(record.start, megabyte) !== segmentEndingAt(endOf(record, megabyte), megabyte),
  );
  expect(crossing.map(({ fact }) => fact.is === 'commit' && fact.xid)).toContain(of(6).xid);
  expect(await readdir(join(machine.root, 'scratch'))).toEqual([]);
});

test.each([1, 2, 3])('read %i segments at a time, the same records come in the same order', async (windowSegments) => {
  expect(await readAll(windowSegments)).toEqual(await readAll());
});

test('a plan says when it could not be protected against prune, and writes nothing to find out', async () => {
  const guests = join(machine.destination, layout.guests(place));
  const before = await readdir(guests, { recursive: true });
  expect((await plan({})).plan.notes.join(' ')).not.toContain('Not protected against prune');

  await execa('chmod', ['a-w', guests]);
  try {
    expect((await plan({})).plan.notes.join(' ')).toContain('Not protected against prune');
  } finally {
    await execa('chmod', ['ug+w', guests]);
  }
  expect(await readdir(guests, { recursive: true })).toEqual(before);
});

test('a folder that cannot be written is a failure of the machine, and the rest of a killed reader is removed', async () => {
  const blocked = join(machine.root, 'blocked');
  await writeFile(blocked, '');
  const unit = { ...context.unit, path: blocked };
  await expect(planRestore({ ...context, unit }, request)).rejects.toMatchObject({ kind: 'machine' });

  const left = join(machine.root, 'scratch', 'wal-4194304-abcdef');
  await mkdir(left, { recursive: true });
  await writeFile(join(left, '000000010000000000000001'), 'rest');
  expect(await readAll()).not.toEqual([]);
  expect(await readdir(join(machine.root, 'scratch'))).toEqual([]);
});

test('who stops reading early leaves neither files nor a program behind', async () => {
  for (const _found of [1, 2]) {
    for await (const record of recordsFromTheStart()) {
      expect(record.start).toBeGreaterThan(0n);
      break;
    }
  }

  expect(await readdir(join(machine.root, 'scratch'))).toEqual([]);
  expect((await execa('pgrep', ['-P', String(process.pid), 'pg_waldump'], { reject: false })).stdout).toBe('');
});

test.each([
  ['end', 11],
  ['backup', 8],
  ['name=before the upgrade; really', 4],
] as const)('a real recovery by the plan for %s ends where the plan says', async (text, rows) => {
  const planned = await plan({ target: parseTarget(text, false) });

  const result = await recover(planned);

  expect(result.rows).toEqual(upTo(rows));
  if (planned.plan.switchLsn === null) expect(result.switchLsn >= planned.plan.after).toBe(true);
  else expect(formatLsn(result.switchLsn)).toBe(formatLsn(planned.plan.switchLsn));
  expect(result.timeline).toBe(2);
});

test.each([1, 4, 6, 7, 8, 9, 10])('a time just after row %i brings back exactly the rows until then', async (row) => {
  const planned = await plan({ target: { to: 'time', time: of(row).after, exclusive: false } });

  const result = await recover(planned);

  expect(planned.plan.backup.id).toBe(backups[row < 9 ? 0 : 1]?.record.id);
  expect(result.rows).toEqual(upTo(row));
  expect(formatLsn(result.switchLsn)).toBe(formatLsn(planned.plan.switchLsn ?? 0n));
});

test('a time after the last commit is refused, until a witness says that nothing was missing then', async () => {
  const target = { to: 'time', time: of(11).after, exclusive: false } as const;
  await expect(plan({ target })).rejects.toMatchObject({ kind: 'refused' });

  const witness = `${layout.witnesses(place)}00000001.json`;
  const at = new Date(target.time.getTime() + 1000);
  await writeFileAt(
    witness,
    JSON.stringify({ format: 1, at: at.toISOString(), timeline: 1, lsn: formatLsn(of(11).afterLsn) }),
  );
  try {
    const { plan: made } = await plan({ target });
    expect(made.stop).toEqual({ at: 'end' });
    expect(made.switchLsn).toEqual((await plan({})).plan.switchLsn);
    expect(made.notes.join(' ')).toContain('Nothing was committed between');
    await expect(plan({ target: { ...target, time: new Date(at.getTime() + 1) } })).rejects.toThrow(at.toISOString());
  } finally {
    await repository.storage.remove(witness);
  }
});

test.each([
  [3, false],
  [3, true],
  [6, false],
  [6, true],
  [7, false],
  [7, true],
  [11, true],
])('the transaction of row %i, exclusive: %s, ends recovery after or before its commit', async (row, exclusive) => {
  const planned = await plan({ target: { to: 'xid', xid: of(row).xid, exclusive } });

  const result = await recover(planned);

  expect(result.rows).toEqual(upTo(exclusive ? row - 1 : row));
  expect(formatLsn(result.switchLsn)).toBe(formatLsn(planned.plan.switchLsn ?? 0n));
});

test.each([
  [2, true],
  [9, true],
  [9, false],
])(
  'the LSN behind row %i, exclusive: %s, stops before or after the record that begins there',
  async (row, exclusive) => {
    const planned = await plan({ target: { to: 'lsn', lsn: of(row).afterLsn, exclusive } });

    const result = await recover(planned);

    expect(result.rows).toEqual(upTo(row));
    expect(formatLsn(result.switchLsn)).toBe(formatLsn(planned.plan.switchLsn ?? 0n));
  },
);

test('the last transaction of the WAL is reached by going to the end', async () => {
  const { plan: made } = await plan({ target: { to: 'xid', xid: of(11).xid, exclusive: false } });
  const { plan: end } = await plan({});

  // The segment switch follows it, so there is a record to stop before.
  expect(made.stop.at).toBe('record');
  expect((made.switchLsn ?? 0n) < (end.switchLsn ?? 0n)).toBe(true);
});

test('a plan raises what the WAL needs and not what it needed later', async () => {
  const before = await plan({ target: { to: 'time', time: of(6).after, exclusive: false } });
  const after = await plan({});

  expect(before.plan.settings.raised).toMatchObject({ max_connections: 100, max_prepared_transactions: 5 });
  expect(before.plan.settings.raised).not.toHaveProperty('max_locks_per_transaction');
  expect(after.plan.settings.raised).toMatchObject({ max_connections: 130, max_locks_per_transaction: 70 });
});

test('the same request makes the same id, and another decision another one', async () => {
  const ids = [
    await plan({}),
    await plan({}),
    await plan({ credentials: 'production' }),
    await plan({ discardOld: true }),
    await plan({ takeOver: true }),
  ].map(({ id }) => id);

  expect(ids[0]).toBe(ids[1]);
  expect(new Set(ids).size).toBe(4);
});

test.each([
  [
    'a time that the WAL does not reach',
    () => ({ target: { to: 'time', time: new Date(of(11).after.getTime() + 3_600_000), exclusive: false } as const }),
    /the stored WAL does not reach .*: the proven end is [0-9A-F]+\/[0-9A-F]+, 20/,
  ],
  [
    'a time before the first backup',
    () => ({ target: { to: 'time', time: new Date(Date.UTC(2020, 0, 1)), exclusive: false } as const }),
    /2020-01-01T00:00:00.000Z lies before the earliest possible stop: the oldest of 2 backups/,
  ],
  [
    'a name that nobody made',
    () => ({ target: { to: 'name', name: 'nobody' } as const }),
    /no restore point "nobody" is in the WAL/,
  ],
  [
    'a transaction that never was',
    () => ({ target: { to: 'xid', xid: 4_000_000_000, exclusive: false } as const }),
    /transaction 4000000000 neither commits nor aborts/,
  ],
  [
    'an LSN beyond the end',
    () => ({ target: { to: 'lsn', lsn: parseLsn('FF/0'), exclusive: false } as const }),
    /no record .* begins at or after FF\/0: the proven end is/,
  ],
  [
    'a backup that is not there',
    () => ({ backup: '20200101T000000Z-000000' }),
    /has no backup 20200101T000000Z-000000/,
  ],
  ['a timeline that is not there', () => ({ timeline: 7 }), /incarnation 1 has no timeline 7/],
  ['an incarnation that is not there', () => ({ incarnation: 9 }), /has no incarnation 9/],
  ['a cluster that is not there', () => ({ systemIdentifier: '1' }), /the repository holds no cluster 1/],
  [
    'in place where nothing is owned',
    () => ({ inPlace: true }),
    /does not own the cluster .* nothing to restore in place/,
  ],
  [
    'a tablespace that the backup lacks',
    () => ({ tablespaceMap: { '/srv/t': '/srv/u' } }),
    /has no tablespace at \/srv\/t/,
  ],
] satisfies readonly (readonly [string, () => Partial<RestoreRequest>, RegExp])[])(
  '%s is refused',
  async (_name, wishes, message) => {
    await expect(plan(wishes())).rejects.toThrow(message);

    expect(await readdir(context.unit.path)).not.toContain('plans');
  },
);

test('a pinned backup that is consistent only after the target is refused', async () => {
  const wishes = {
    backup: backups[1]?.record.id,
    target: { to: 'time', time: of(4).after, exclusive: false },
  } as const;

  await expect(plan(wishes)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('lies before the earliest possible stop'),
  });
});

test('a kept plan is confirmed as it is; it is refused when its backup is being deleted, and under an id that was not printed', async () => {
  const { plan: made } = await plan({ target: { to: 'time', time: of(9).after, exclusive: false } });
  const { id } = await keepPlan(context.unit, made, new Date());

  const stands = await confirmPlan(context, id);
  expect(stands).toMatchObject({ stands: true, kept: { id } });
  await expect(confirmPlan(context, '0123456789abcdef')).rejects.toMatchObject({ kind: 'refused' });

  const mark = `${layout.marks(place)}${made.backup.id}/00000001.json`;
  const text = JSON.stringify({ format: 1, mark: 'damaged', at: new Date().toISOString(), why: 'a part is' });
  await writeFileAt(mark, text);
  try {
    expect(await confirmPlan(context, id)).toMatchObject({
      stands: false,
      why: expect.stringContaining('marked as damaged'),
    });
    // A new plan takes the older backup.
    expect((await plan({ target: made.target })).plan.backup.id).toBe(backups[0]?.record.id);
  } finally {
    await repository.storage.remove(mark);
  }
});

async function writeFileAt(key: string, text: string): Promise<void> {
  await repository.storage.put(
    key,
    (async function* () {
      yield Buffer.from(text);
    })(),
  );
}

test('a damaged segment is refused with its name, and only by plans that need it', async () => {
  const { plan: made } = await plan({ target: { to: 'time', time: of(3).after, exclusive: false } });
  const needed = made.service.segments.at(-1)?.last ?? 0;
  const name = segmentName(1, needed + 1, megabyte);
  const path = join(machine.destination, walKey(place, name));
  const bytes = await readFile(path);
  const bad = Buffer.from(bytes);
  bad.writeUInt8((bad[bad.length - 20] ?? 0) ^ 0xff, bad.length - 20);
  await overwrite(path, bad);
  try {
    await expect(plan({ target: { to: 'time', time: of(8).after, exclusive: false } })).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringContaining(name),
    });
    expect((await plan({ target: made.target })).id).toBeDefined();
    expect((await plan({})).plan.backup.id).toBe(backups[1]?.record.id);
  } finally {
    await overwrite(path, bytes);
  }
});

async function overwrite(path: string, bytes: Uint8Array): Promise<void> {
  await execa('chmod', ['u+w', path]);
  await writeFile(path, bytes);
}

test('a missing segment is named as a hole; a target behind it needs a backup behind it', async () => {
  const number = segmentOf(of(5).afterLsn, megabyte) + 1;
  const name = segmentName(1, number, megabyte);
  const key = walKey(place, name);
  const bytes = await readFile(join(machine.destination, key));
  const whole = await plan({ target: { to: 'time', time: of(8).after, exclusive: false } });
  const { id } = await keepPlan(context.unit, whole.plan, new Date());
  await repository.storage.remove(key);
  try {
    await expect(plan({ target: { to: 'time', time: of(8).after, exclusive: false } })).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining(`behind it segment ${name} is missing`),
    });
    const result = await recover(await plan({}));
    expect(result.rows).toEqual(upTo(11));
    expect(await confirmPlan(context, id)).toMatchObject({
      stands: false,
      why: 'WAL of timeline 1 that it needs is gone',
    });
    // The WAL before the hole ends in the middle of a record: recovery ends behind the last whole one.
    const before = await plan({ backup: backups[0]?.record.id });
    expect(before.plan.notes.join(' ')).toContain(name);
    const cutOff = await recover(before);
    expect(formatLsn(cutOff.switchLsn)).toBe(formatLsn(before.plan.switchLsn ?? 0n));
    expect((before.plan.switchLsn ?? 0n) % BigInt(megabyte)).not.toBe(0n);
  } finally {
    await repository.storage.put(
      key,
      (async function* () {
        yield bytes;
      })(),
    );
  }
});
