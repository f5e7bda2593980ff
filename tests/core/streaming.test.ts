import { expect, test } from 'vitest';
import { aboutStream } from '../../src/core/stream-findings.ts';
import {
  hasRoomForSlot,
  isNearBound,
  refuseStream,
  slotFault,
  slotName,
  streamBound,
  type StreamFacts,
} from '../../src/core/streaming.ts';

const gibibyte = 1024 ** 3;
const good = { restartLsn: 1n, activePid: 7, isLost: false };
const facts = (more: Partial<StreamFacts> = {}): StreamFacts => ({
  versionNumber: 150_000,
  isInRecovery: false,
  walLevel: 'replica',
  synchronousNames: '',
  slot: good,
  keptBytes: 0,
  pendingBytes: 0,
  freeBytes: 100 * gibibyte,
  ...more,
});

test('a slot may keep 16 GiB, and never more than half of the room in which it waits', () => {
  expect(streamBound(facts())).toBe(16 * gibibyte);
  expect(streamBound(facts({ freeBytes: 4 * gibibyte, keptBytes: gibibyte, pendingBytes: gibibyte }))).toBe(
    3 * gibibyte,
  );
});

test.each<[string, Partial<StreamFacts>, RegExp | undefined]>([
  ['nothing waits', {}, undefined],
  ['as much as may', { keptBytes: 16 * gibibyte }, undefined],
  ['a byte more', { keptBytes: 16 * gibibyte + 1 }, /^16.0 GiB of WAL waited for the stream, more than the 16.0 GiB/],
  ['both together', { keptBytes: 9 * gibibyte, pendingBytes: 9 * gibibyte }, /^18.0 GiB/],
  ['a small disk', { keptBytes: 2 * gibibyte, freeBytes: gibibyte }, /more than the 1.5 GiB/],
  ['PostgreSQL gave it up', { slot: { ...good, isLost: true } }, /max_slot_wal_keep_size/],
  ['no slot', { slot: undefined, keptBytes: 90 * gibibyte }, undefined],
])('a slot has to go: %s', (_name, more, fault) => {
  if (fault === undefined) expect(slotFault(facts(more))).toBeUndefined();
  else expect(slotFault(facts(more))).toMatch(fault);
});

test('the alarm comes at half of the bound, before the slot goes', () => {
  expect(isNearBound(facts({ keptBytes: 8 * gibibyte }))).toBe(false);
  expect(isNearBound(facts({ keptBytes: 9 * gibibyte }))).toBe(true);
  expect(slotFault(facts({ keptBytes: 9 * gibibyte }))).toBeUndefined();
});

test('no slot is made anew while what was received waits', () => {
  expect(hasRoomForSlot(facts({ slot: undefined, pendingBytes: 8 * gibibyte }))).toBe(true);
  expect(hasRoomForSlot(facts({ slot: undefined, pendingBytes: 9 * gibibyte }))).toBe(false);
});

test.each<[string, Partial<StreamFacts>, string | undefined]>([
  ['a usual server', {}, undefined],
  ['before 10', { versionNumber: 90_600 }, 'before 10'],
  ['minimal', { walLevel: 'minimal' }, 'wal_level'],
  ['every standby', { synchronousNames: '*' }, 'synchronous_standby_names'],
  ['any of every', { synchronousNames: 'ANY 1 (*)' }, 'synchronous_standby_names'],
  ['our own name', { synchronousNames: 'FIRST 1 (s1, "Landscape-Backup-Stream")' }, 'synchronous_standby_names'],
  ['other names', { synchronousNames: 'FIRST 1 (s1, s2)' }, undefined],
])('refused or not: %s', (_name, more, why) => {
  const refusal = refuseStream(facts(more));
  if (why === undefined) expect(refusal).toBeUndefined();
  else expect(refusal?.why).toContain(why);
});

test('the name of a slot is one that PostgreSQL takes', () => {
  expect(slotName('0123456789abcdef0123456789abcdef')).toBe('landscape_backup_0123456789abcdef0123456789abcdef');
  expect(slotName('Some-Owner/0')).toBe('landscape_backup_someowner0');
});

const stream = {
  refusal: undefined,
  slot: 'good',
  isReceived: true,
  waitingBytes: 1,
  boundBytes: 10,
  isNearBound: false,
} as const;

test.each([
  ['well', {}, undefined, ''],
  ['refused', { refusal: { why: 'it is old', hint: 'mend it' } }, 'blocked', 'it is old'],
  ['no slot', { slot: 'absent' as const }, 'alarm', 'there is no replication slot'],
  ['lost', { slot: 'lost' as const }, 'alarm', 'has removed WAL'],
  ['near', { isNearBound: true }, 'alarm', 'beyond that the slot is dropped'],
  ['alone', { isReceived: false }, 'attention', 'nobody receives it'],
])('a status says of a stream: %s', (_name, more, level, text) => {
  const [finding] = aboutStream('15/main', { ...stream, ...more });
  expect(finding?.level).toBe(level);
  expect(finding?.text ?? '').toContain(text);
});
