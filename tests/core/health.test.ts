import { expect, test } from 'vitest';
import type { HealthFacts, Level } from '../../src/core/health-facts.ts';
import { assess, healthSchema } from '../../src/core/health.ts';

const now = new Date('2026-11-24T03:00:00Z');
const at = (text: string) => new Date(`2026-11-${text}Z`);

const noLag = { files: 0, bytes: 0, oldest: null, freeBytes: 64 * 1024 ** 3, last: null, rate: null };

const well: HealthFacts = {
  now,
  label: '15/main',
  destination: 'file:///srv/backup',
  walArchiving: true,
  archiveTimeoutSeconds: 60,
  repository: 'open',
  standing: { is: 'owner', incarnation: 1 },
  isRunning: true,
  isInRecovery: false,
  server: undefined,
  archiving: { is: 'ours', command: 'ours', waiting: [], lag: noLag },
  stream: undefined,
  archiveFailure: undefined,
  restore: undefined,
  backups: { complete: 3, newest: at('24T02:00:00') },
  runningBackupSince: undefined,
  lastFailure: undefined,
  needed: [],
  holes: [],
  line: undefined,
  window: { from: at('17T02:10:00'), to: at('24T02:59:00') },
  nextBackup: at('25T02:00:00'),
  lastScheduled: at('24T02:00:00'),
};

const hole = {
  format: 1,
  timeline: 1,
  firstSegment: 5,
  lastSegment: 5,
  at: now,
  why: 'WAL segment 5 is not stored',
} as const;
const holeNeed = { format: 1, reason: 'hole', since: now, why: hole.why, incarnation: 1, after: 6n } as const;
const ours = well.archiving ?? expect.fail('the facts have archiving');
const segment = '000000010000000000000005';
const line = { found: 9, uploading: 1, delayed: 0, lost: 0, missing: [], storedTo: '0/A000000', behindBytes: 4096 };
const missing = (is: 'lost' | 'delayed') => ({ is, from: segment, to: segment, segments: 1 });
const trouble = { kind: 'unavailable', message: 'the destination file:///srv/backup is not there', hint: 'Mount it' };

test.each<[string, Partial<HealthFacts>, Level, string, string | undefined]>([
  [
    'all is well',
    {},
    'ok',
    'can restore to any second from 2026-11-17T02:10:00.000Z to 2026-11-24T02:59:00.000Z; next backup 2026-11-25T02:00:00.000Z',
    undefined,
  ],
  [
    'WAL that nobody has any more and that is not recorded yet',
    { line: { ...line, lost: 1, missing: [missing('lost')] } },
    'alarm',
    `WAL ${segment} is lost: it is not stored, and nobody has it any more`,
    'landscape-backup run-due records it and takes a new backup, within a minute by itself.',
  ],
  [
    'WAL that later segments have overtaken',
    { line: { ...line, delayed: 1, missing: [missing('delayed')] } },
    'attention',
    `WAL ${segment} is delayed, though later segments are stored`,
    'landscape-backup check says what is in the way; the server keeps it until then.',
  ],
  [
    'the first backup, and no witness yet of what came after it',
    { window: { from: now, to: now } },
    'ok',
    `can restore to ${now.toISOString()}; later seconds follow within minutes`,
    undefined,
  ],
  ['no schedule', { nextBackup: undefined, lastScheduled: undefined }, 'ok', 'to 2026-11-24T02:59:00.000Z', undefined],
  [
    'only backups',
    { walArchiving: false, window: undefined, archiving: { ...ours, is: 'off' } },
    'ok',
    'to no point in time between (wal-archiving is false)',
    undefined,
  ],
  [
    'no destination',
    { destination: undefined, standing: undefined, backups: undefined, window: undefined },
    'blocked',
    'the option destination is empty',
    'init',
  ],
  [
    'unreachable',
    { repository: trouble, standing: undefined, backups: undefined, window: undefined },
    'alarm',
    'is not there; WAL waits on this machine',
    'Mount it',
  ],
  [
    'another repository',
    {
      repository: { ...trouble, kind: 'conflict', message: 'the repository is another' },
      standing: undefined,
      backups: undefined,
      window: undefined,
    },
    'blocked',
    'the repository is another',
    'Mount it',
  ],
  ['unknown', { standing: { is: 'none' } }, 'blocked', 'does not know this cluster', 'landscape-backup init'],
  [
    'a copy',
    { standing: { is: 'copy', of: '15-main of db-1', isKept: false } },
    'blocked',
    'restored copy of 15-main of db-1, not archived: take-over, or keep it as a copy',
    'landscape-backup take-over, or landscape-backup take-over --keep-copy',
  ],
  [
    'a kept copy',
    { standing: { is: 'copy', of: '15-main of db-1', isKept: true } },
    'ok',
    'copy of 15-main of db-1, not archived',
    undefined,
  ],
  [
    'a restore',
    { restore: 'fetching WAL', isRunning: false },
    'attention',
    'a restore is under way: fetching WAL',
    'abandon-restore',
  ],
  [
    'stopped',
    { isRunning: false, archiving: undefined },
    'alarm',
    'the cluster does not run',
    'pg_ctlcluster 15 main start',
  ],
  [
    'the server says no',
    { server: { kind: 'postgres', message: 'PostgreSQL said no', hint: 'pg_hba.conf' }, archiving: undefined },
    'alarm',
    'PostgreSQL said no',
    'pg_hba.conf',
  ],
  ['a standby of the owner', { isInRecovery: true }, 'ok', 'a standby', undefined],
  [
    'a standby of nobody we know',
    { isInRecovery: true, standing: { is: 'none' } },
    'attention',
    'in recovery',
    'primary',
  ],
  [
    'a stranger archives',
    { archiving: { ...ours, is: 'foreign', command: 'cp %p /x' } },
    'blocked',
    'somebody else archives this cluster (cp %p /x)',
    'landscape-backup init',
  ],
  [
    'a restart is needed',
    { archiving: { ...ours, is: 'off', waiting: ['archive_mode'] } },
    'blocked',
    'archive_mode waits for a restart',
    'restart-postgresql',
  ],
  [
    'thrown away',
    { archiving: { ...ours, is: 'discarded', command: '/bin/true' } },
    'alarm',
    '"/bin/true" throws WAL away',
    'landscape-backup init',
  ],
  ['not archived', { archiving: { ...ours, is: 'off' } }, 'alarm', 'PostgreSQL does not archive', 'check'],
  ['archived against the option', { walArchiving: false }, 'attention', 'archiving still runs', 'run-due'],
  [
    'a fresh failure',
    { archiveFailure: { ...trouble, since: at('24T02:58:00'), name: '000000010000000000000005' } },
    'attention',
    '000000010000000000000005 could not be archived since 2026-11-24T02:58:00.000Z',
    'Mount it',
  ],
  [
    'an old failure',
    { archiveFailure: { ...trouble, since: at('24T02:00:00'), name: '000000010000000000000005' } },
    'alarm',
    'could not be archived',
    'Mount it',
  ],
  [
    'a failure while PostgreSQL is down',
    { isRunning: false, archiving: undefined, archiveFailure: { ...trouble, since: at('24T02:58:00'), name: 'x' } },
    'alarm',
    'does not run',
    'pg_ctlcluster',
  ],
  [
    'some lag',
    {
      archiving: {
        ...ours,
        lag: { ...noLag, files: 40, bytes: 40 * 1024 * 1024, oldest: { name: 'A', seconds: 600 } },
      },
    },
    'attention',
    '40 WAL files (40.0 MiB) wait to be archived, the oldest (A) for 10 min; 64.0 GiB are free there',
    'check',
  ],
  [
    'much lag',
    { archiving: { ...ours, lag: { ...noLag, files: 400, bytes: 1, oldest: { name: 'A', seconds: 2000 } } } },
    'alarm',
    'the oldest (A) for 33 min',
    'check',
  ],
  [
    'lag within a long archive_timeout',
    {
      archiveTimeoutSeconds: 600,
      archiving: { ...ours, lag: { ...noLag, files: 1, bytes: 1, oldest: { name: 'A', seconds: 600 } } },
    },
    'ok',
    'can restore',
    undefined,
  ],
  [
    'a hole',
    { holes: [hole], needed: [holeNeed] },
    'alarm',
    'WAL segment 5 is not stored; nothing after it',
    'taken by itself',
  ],
  ['a hole that a backup has answered', { holes: [hole] }, 'ok', 'can restore', undefined],
  [
    'a need',
    { needed: [{ ...holeNeed, reason: 'take-over', why: 'taken over' }] },
    'attention',
    'a new base backup is needed: taken over',
    'by itself',
  ],
  [
    'no backup',
    { backups: { complete: 0, newest: undefined }, window: undefined },
    'alarm',
    'there is no complete base backup',
    'landscape-backup backup',
  ],
  [
    'a first backup runs',
    { backups: { complete: 0, newest: undefined }, window: undefined, runningBackupSince: now },
    'attention',
    'until the one that runs is complete',
    undefined,
  ],
  [
    'a failed backup',
    { lastFailure: { ...trouble, at: at('24T02:00:00') } },
    'alarm',
    'the backup of 2026-11-24T02:00:00.000Z failed: the destination',
    'Mount it',
  ],
  [
    'an overdue backup',
    { backups: { complete: 1, newest: at('23T02:00:00') }, lastScheduled: at('24T01:00:00') },
    'attention',
    'no backup began since the schedule wanted one at 2026-11-24T01:00:00.000Z',
    'timer',
  ],
  [
    'a late backup',
    { backups: { complete: 1, newest: at('23T02:00:00') }, lastScheduled: at('24T02:30:00') },
    'ok',
    'can restore',
    undefined,
  ],
  ['no whole line', { window: undefined }, 'attention', 'can restore no point in time yet', 'landscape-backup backup'],
])('%s', (_, change, level, text, next) => {
  const health = assess({ ...well, ...change });
  expect(health.level).toBe(level);
  expect(health.text).toContain(text);
  if (next === undefined) expect(health.next).toBeUndefined();
  else expect(health.next).toContain(next);
});

test('how archiving goes on stands behind everything else', () => {
  const rate = { archived: 11.6, written: 0.25 };
  const lag = { ...noLag, last: { name: '000000010000000000000005', at: at('24T02:59:30') }, rate };
  expect(assess({ ...well, archiving: { ...ours, lag } }).details).toEqual([
    {
      level: 'ok',
      text: '15/main: no WAL waits to be archived; last archived 000000010000000000000005 at 2026-11-24T02:59:30.000Z; 12 segments a minute archived, 0.3 written',
      next: undefined,
    },
  ]);
  expect(assess({ ...well, archiving: { ...ours, is: 'foreign', lag } }).details.map(({ text }) => text)).toEqual([
    expect.stringContaining('can restore to any second'),
  ]);
});

test('the worst comes first and the rest behind it by weight', () => {
  const health = assess({
    ...well,
    archiving: { ...ours, is: 'foreign', command: 'x' },
    needed: [{ ...holeNeed, reason: 'take-over' }],
    lastFailure: { ...trouble, at: now },
  });
  expect([health, ...health.details].map(({ level }) => level)).toEqual(['blocked', 'alarm', 'attention', 'ok']);
  const told = (finding: { level: Level; text: string; next: string | undefined }) => ({
    ...finding,
    next: finding.next ?? null,
  });
  expect(healthSchema.parse({ ...told(health), details: health.details.map(told) }).details).toHaveLength(3);
});

test('why archiving fails is not said twice where the repository has the same reason', () => {
  const archiveFailure = { ...trouble, since: at('24T02:00:00'), name: '000000010000000000000005' };

  const { text, details } = assess({ ...well, repository: trouble, archiveFailure });

  const all = [text, ...details.map((finding) => finding.text)];
  expect(all.filter((each) => each.includes(trouble.message))).toEqual([
    '15/main: the destination file:///srv/backup is not there; WAL waits on this machine',
  ]);
  expect(all).toContain(
    '15/main: 000000010000000000000005 could not be archived since 2026-11-24T02:00:00.000Z, for the same reason',
  );
});

test('a status tells what has become of the WAL since the newest backup', () => {
  const { text, details } = assess({ ...well, line });
  expect(text).toContain('can restore to any second');
  expect(details.map((each) => each.text).join('\n')).toContain(
    'WAL segments since the newest backup: 9 found, 1 uploading; all is stored up to 0/A000000, 4.0 KiB behind the server',
  );
});
