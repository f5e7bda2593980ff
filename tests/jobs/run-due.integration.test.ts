import { afterAll, beforeAll, expect, test } from 'vitest';
import { markSchema } from '../../src/core/record.ts';
import { takeBackup } from '../../src/jobs/backup.ts';
import { askServer, makePrunePlan, type PruneContext } from '../../src/jobs/prune-plan.ts';
import { prune } from '../../src/jobs/prune.ts';
import { runDue, type DueParts, type RunDueContext } from '../../src/jobs/run-due.ts';
import { witness, witnessServer } from '../../src/jobs/witness.ts';
import { readControlData } from '../../src/postgres/control-data.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { layout } from '../../src/repository/layout.ts';
import { appendRecord } from '../../src/repository/records.ts';
import { openRepository } from '../../src/repository/repository.ts';
import type { Clock } from '../../src/system/clock.ts';
import { readJournal } from '../../src/system/journal.ts';
import { backupContext, makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner } from '../setup/machine.ts';
import { until } from '../setup/wait.ts';
import { watch } from './prune-site.ts';

let archived: ArchivedCluster;
/** The machine's clock, as far ahead as a test wants it. */
let aheadMs = 0;
const clock: Clock = { now: () => new Date(Date.now() + aheadMs) };
/** As `initdb` made the fixture's cluster. */
let segmentSize = 0;

beforeAll(async () => {
  becomeOwner();
  archived = await makeArchivedCluster();
  const { binaries, dataDirectory } = archived.cluster;
  ({ segmentSize } = await readControlData(binaries, dataDirectory));
});

afterAll(async () => {
  await archived.machine.destroy();
});

function pruneContext(policy: { readonly count: number; readonly days: number }): PruneContext {
  const { unit, repository, cluster } = archived;
  return {
    unit,
    repository,
    clock: { now: () => new Date() },
    hostZone: 'UTC',
    settings: { retentionCount: policy.count, retentionDays: policy.days, backupSchedule: undefined },
    server: async () => await askServer(cluster),
  };
}

/** The jobs as the command joins them. */
function parts(): DueParts {
  const { unit, repository, cluster } = archived;
  return {
    reconcile: async () => undefined,
    backup: async (trigger) => await takeBackup(backupContext(archived), { trigger }),
    prune: async () => await prune(pruneContext({ count: 1, days: 0 }), { by: 'schedule' }),
    witness: async () => await witness({ unit, repository, clock, server: witnessServer(cluster, segmentSize) }),
  };
}

async function incarnation() {
  const [found] = (await readCatalogue(archived.repository, archived.place.systemIdentifier)).incarnations;
  if (found === undefined) throw new Error('the incarnation has gone');
  return found;
}

test('a schedule without any backup takes one, prunes after it and samples a witness; the next call finds nothing to do', async () => {
  const { unit, repository } = archived;
  const backupSchedule = { expression: '0 0 1 1 *', zone: 'UTC' };
  const context: RunDueContext = {
    unit,
    repository,
    clock,
    hostZone: 'UTC',
    isStandby: false,
    settings: { backupSchedule, walArchiving: true },
  };

  const first = await runDue(context, parts());
  const second = await runDue(context, parts());

  expect(first.is === 'ran' ? first.done.map(({ did, failure }) => [did, failure]) : first).toEqual([
    ['reconcile', undefined],
    ['backup', undefined],
    ['prune', undefined],
    ['witness', undefined],
  ]);
  expect(second.is === 'ran' ? second.done.map(({ did }) => did).filter((did) => did !== 'witness') : second).toEqual([
    'reconcile',
  ]);
  expect((await incarnation()).backups).toHaveLength(1);
  expect(await readJournal(unit)).toMatchObject([
    { kind: 'backup', trigger: 'missed', outcome: 'succeeded' },
    { kind: 'prune', outcome: 'succeeded' },
  ]);
});

test('an idle server is witnessed again and again with one switch of WAL at most', async () => {
  const look = parts().witness;
  await archived.server.sql('CREATE TABLE seen (n int)');
  // The first sample may be from before the table.
  for (let round = 0; round < 2; round += 1) {
    aheadMs += 5 * 60_000;
    await look();
    aheadMs += 60_000;
    await until('the witness is written', async () => (await look()) !== 'waiting', 100);
  }
  const [stored, written] = [
    (await incarnation()).wal.timelines.get(1)?.runs.at(-1)?.last,
    (await incarnation()).witness,
  ];

  aheadMs += 5 * 60_000;
  expect(await look()).toBe('written');

  const after = await incarnation();
  expect(after.wal.timelines.get(1)?.runs.at(-1)?.last).toBe(stored);
  expect(after.witness?.lsn).toBe(written?.lsn);
  expect(after.witness?.at.getTime()).toBeGreaterThan(written?.at.getTime() ?? Infinity);
});

test('a commit after the last witness is waited for', async () => {
  const look = parts().witness;
  const before = (await incarnation()).witness;
  await archived.server.sql('INSERT INTO seen VALUES (1)');
  aheadMs += 5 * 60_000;

  expect(await look()).toBe('waiting');
  aheadMs += 60_000;
  await look();
  await until('the witness is written', async () => (await look()) === 'written', 100);

  expect((await incarnation()).witness?.lsn).toBeGreaterThan(before?.lsn ?? 0n);
});

test('a prune deletes a real backup and the WAL before the one that stays', async () => {
  const stays = await takeBackup(backupContext(archived), { trigger: 'person' });
  const context = pruneContext({ count: 1, days: 0 });
  const { id, retention } = await makePrunePlan(context);
  expect(retention.delete).toHaveLength(1);

  await prune(context, { by: 'person', confirm: id });

  const { backups, wal } = await incarnation();
  expect(backups.map((each) => each.id)).toEqual([stays.id]);
  expect(wal.timelines.get(1)?.runs[0]?.first).toBe(Number(stays.startLsn / BigInt(segmentSize)));
});

test('a backup that a prune has taken for dead fails at its end and leaves no record', async () => {
  const before = (await incarnation()).backups.length;
  const storage = watch(archived.repository.storage, async (call, key) => {
    const id = /\/base\/([^/]+)\/base\.tar\.zst\.00001$/.exec(key)?.[1];
    if (call !== 'put' || id === undefined) return;
    const mark = { format: 1, mark: 'deleting', at: new Date(), why: 'silent for a day' } as const;
    await appendRecord(archived.repository, `${layout.marks(archived.place)}${id}/`, markSchema, mark);
  });
  const context = { ...backupContext(archived), repository: await openRepository(storage, undefined) };

  await expect(takeBackup(context, { trigger: 'person' })).rejects.toMatchObject({ kind: 'conflict' });

  expect((await incarnation()).backups).toHaveLength(before);
});
