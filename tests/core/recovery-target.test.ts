import { expect, test } from 'vitest';
import { microsOf, StopFinder } from '../../src/core/recovery-target.ts';
import type { RestoreTarget } from '../../src/core/restore-plan.ts';
import { settleStop, type Proof } from '../../src/core/settle-stop.ts';
import {
  endOf,
  highestFloors,
  readDumpLine,
  startAfter,
  type WalFact,
  type WalRecord,
} from '../../src/core/wal-record.ts';
import { backup, lsnIn, segmentSize } from './catalogue-builder.ts';

const at = (second: number) => new Date(Date.UTC(2026, 10, 24, 2, 0, second));
const commit = (xid: number, second: number, micros = 0n): WalFact => ({
  is: 'commit',
  xid,
  micros: microsOf(at(second)) + micros,
});

/** Records of 100 bytes, one after the other, in the second segment after the backup's stop. */
function records(...facts: readonly WalFact[]): readonly WalRecord[] {
  return facts.map((fact, index) => ({ start: lsnIn(7, 1000 + 104 * index), totalLength: 100, fact }));
}

function find(target: RestoreTarget, wal: readonly WalRecord[]) {
  const finder = new StopFinder(target, segmentSize);
  const index = wal.findIndex((record) => finder.take(record));
  return { index, reading: finder.reading };
}

const history = records(
  commit(10, 1),
  { is: 'other' },
  commit(11, 2),
  { is: 'restore-point', name: 'here' },
  { is: 'abort', xid: 12, micros: microsOf(at(3)) },
  commit(13, 3, 1n),
  { is: 'parameters', floors: { max_connections: 200 } },
  commit(14, 4),
);

test.each([
  ['a time between two', { to: 'time', time: new Date(at(2).getTime() + 500), exclusive: false }, 4],
  ['the very time of one, which is wanted', { to: 'time', time: at(2), exclusive: false }, 4],
  ['the very time of one, exclusive', { to: 'time', time: at(2), exclusive: true }, 2],
  ['a time that an abort passes', { to: 'time', time: at(2), exclusive: false }, 4],
  ['a time that a commit passes by a microsecond', { to: 'time', time: at(3), exclusive: false }, 5],
  ['a transaction, exclusive', { to: 'xid', xid: 11, exclusive: true }, 2],
  ['a transaction that aborted, exclusive', { to: 'xid', xid: 12, exclusive: true }, 4],
  ['an LSN between two, exclusive', { to: 'lsn', lsn: lsnIn(7, 1001), exclusive: true }, 1],
] as const)(
  '%s: the first unwanted record is found, and the one before it ends at its start',
  (_name, target, index) => {
    const { reading } = find(target, history);

    expect(reading.stop?.lsn).toBe(history[index]?.start);
    expect(reading.stop?.switchLsn).toBe(history[index]?.start);
    expect(reading.stop?.neededTo).toBe(lsnIn(7, 1000 + 104 * (index + 1)));
  },
);

test.each([
  ['a transaction', { to: 'xid', xid: 11, exclusive: false }, 2],
  ['a restore point', { to: 'name', name: 'here' }, 3],
  ['an LSN', { to: 'lsn', lsn: lsnIn(7, 1001), exclusive: false }, 1],
] as const)('%s is wanted itself: the stop is where the next record begins', (_name, target, index) => {
  const { reading } = find(target, history);

  expect(reading.stop?.lsn).toBe(history[index + 1]?.start);
  expect(reading.stop?.neededTo).toBeNull();
});

test('only what comes back counts: newest commit and floors are those before the stop', () => {
  expect(find({ to: 'time', time: at(2), exclusive: false }, history).reading).toMatchObject({
    newestCommitMicros: microsOf(at(2)),
    floors: {},
  });
  expect(find({ to: 'end' }, history).reading).toMatchObject({
    newestCommitMicros: microsOf(at(4)),
    floors: { max_connections: 200 },
    stop: undefined,
  });
});

test('records that end at a page are followed by one behind its header', () => {
  const page = (end: bigint) => startAfter(end, segmentSize);

  expect(page(lsnIn(7, 8192))).toBe(lsnIn(7, 8192 + 24));
  expect(page(lsnIn(8))).toBe(lsnIn(8, 40));
  expect(page(lsnIn(7, 8200))).toBe(lsnIn(7, 8200));
  expect(endOf({ start: lsnIn(7, 400), totalLength: 24, fact: { is: 'switch' } }, segmentSize)).toBe(lsnIn(8));
});

const line = (rmgr: string, tx: number, description: string) =>
  `rmgr: ${rmgr.padEnd(11)} len (rec/tot):     34/    34, tx: ${String(tx).padStart(10)}, lsn: 0/00B2BEB0, prev 0/00B2BE70, desc: ${description}`;

test.each([
  ['COMMIT 2026-11-24 02:29:12.566998 UTC; inval msgs: catcache 21; sync', 722, 'commit', 722],
  ['ABORT 2026-11-24 02:29:12.566998 UTC', 728, 'abort', 728],
  ['COMMIT_PREPARED 725: 2026-11-24 02:29:12.566998 UTC', 0, 'commit', 725],
  ['ABORT_PREPARED 726: 2026-11-24 02:29:12.566998 UTC; subxacts: 727', 0, 'abort', 726],
])('%s is understood', (description, tx, is, xid) => {
  expect(readDumpLine(line('Transaction', tx, description))).toEqual({
    start: 0xb2beb0n,
    totalLength: 34,
    fact: { is, xid, micros: microsOf(new Date('2026-11-24T02:29:12.566Z')) + 998n },
  });
});

test.each([
  ['Transaction', 'PREPARE gid it: 2026-11-24 02:29:12.740979 UTC', { is: 'other' }],
  ['Transaction', 'ASSIGNMENT xtop 5: subxacts: 6', { is: 'other' }],
  ['XLOG', 'RESTORE_POINT my point; x=1', { is: 'restore-point', name: 'my point; x=1' }],
  ['XLOG', 'SWITCH ', { is: 'switch' }],
  ['XLOG', 'CHECKPOINT_ONLINE redo 0/600370; tli 1', { is: 'other' }],
  ['Heap', 'INSERT off 17 flags 0x00', { is: 'other' }],
  [
    'XLOG',
    'PARAMETER_CHANGE max_connections=120 max_worker_processes=8 max_wal_senders=10 max_prepared_xacts=5 max_locks_per_xact=64 wal_level=replica wal_log_hints=off',
    {
      is: 'parameters',
      floors: {
        max_connections: 120,
        max_worker_processes: 8,
        max_wal_senders: 10,
        max_prepared_transactions: 5,
        max_locks_per_transaction: 64,
      },
    },
  ],
] as const)('a record of %s, %s, is understood', (rmgr, description, fact) => {
  expect(readDumpLine(line(rmgr, 0, description))?.fact).toEqual(fact);
});

test('other lines are no records', () => {
  expect(readDumpLine('second line of a name')).toBeUndefined();
  expect(readDumpLine('first record is after 0/1, at 0/28, skipping over 39 bytes')).toBeUndefined();
});

test('the highest of each floor counts', () => {
  expect(highestFloors({ a: 1, b: 5 }, { a: 3 }, { b: 4 })).toEqual({ a: 3, b: 5 });
});

const proof: Proof = {
  backup: backup({ daysAgo: 1, segment: 5 }),
  reading: find({ to: 'end' }, history).reading,
  end: { lsn: lsnIn(9), micros: microsOf(at(30)) },
  gap: undefined,
  segmentSize,
};

test('a time after the last commit but not after the proven end is that end, and is said', () => {
  const settled = settleStop({ to: 'time', time: at(30), exclusive: false }, proof);

  expect(settled).toMatchObject({ stop: { at: 'end' }, switchLsn: lsnIn(9), restoredTo: at(4) });
  expect(settled).toHaveProperty('notes', [
    'Nothing was committed between 2026-11-24T02:00:04.000Z and 2026-11-24T02:00:30.000Z: the restore goes to the proven end, which is the same.',
  ]);
});

test.each([
  [
    { to: 'time', time: at(31), exclusive: false },
    'the stored WAL does not reach 2026-11-24T02:00:31.000Z: the proven end is 0/9000000, 2026-11-24T02:00:30.000Z',
  ],
  [
    { to: 'name', name: 'gone' },
    /^no restore point "gone" is in the WAL from backup .* on: the proven end is 0\/9000000/,
  ],
] as const)('%o is refused with the proven end', (target, message) => {
  expect(() => settleStop(target, proof)).toThrow(
    expect.objectContaining({
      kind: 'refused',
      message: typeof message === 'string' ? message : expect.stringMatching(message),
    }),
  );
});

test('a hole behind the end is named, whether it is in the way or not', () => {
  const holed = { ...proof, gap: { timeline: 1, first: 9, last: 11 } };
  const words = 'segments 000000010000000000000009 to 00000001000000000000000B are missing';

  expect(settleStop({ to: 'end' }, holed)).toHaveProperty('notes', [expect.stringContaining(words)]);
  expect(() => settleStop({ to: 'time', time: at(31), exclusive: false }, holed)).toThrow(words);
});

test('a stop before the backup is consistent is too early, one right at its stop is not', () => {
  const stop = (switchLsn: bigint) => ({
    ...proof,
    reading: { ...proof.reading, stop: { lsn: switchLsn, switchLsn, neededTo: switchLsn + 8n } },
  });
  const target = { to: 'xid', xid: 9, exclusive: false } as const;

  expect(settleStop(target, stop(proof.backup.stopLsn - 8n))).toEqual({
    tooEarly: true,
    lsn: proof.backup.stopLsn - 8n,
  });
  expect(settleStop(target, stop(proof.backup.stopLsn))).toMatchObject({
    stop: { at: 'record', lsn: proof.backup.stopLsn },
  });
});

test('the last record that is wanted and the last that is stored are one: to the end', () => {
  const reading = { ...proof.reading, stop: { lsn: lsnIn(8, 40), switchLsn: lsnIn(8), neededTo: null } };

  expect(settleStop({ to: 'xid', xid: 14, exclusive: false }, { ...proof, reading })).toMatchObject({
    stop: { at: 'end' },
    switchLsn: lsnIn(8),
  });
});
