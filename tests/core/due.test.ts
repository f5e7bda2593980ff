import { containing } from '../setup/containing.ts';
import { expect, test } from 'vitest';
import { dueJobs, type DueFacts } from '../../src/core/due.ts';
import { jobBegins, jobFailed, jobSucceeded, type JournalRecord } from '../../src/core/journal-record.ts';
import { Failure } from '../../src/core/failure.ts';

const at = (text: string) => new Date(`2026-11-24T${text}:00.000Z`);

const idle: DueFacts = {
  now: at('12:00'),
  hostZone: 'UTC',
  isOwner: true,
  schedule: { expression: '0 2 * * *', zone: undefined },
  walArchiving: true,
  newestBackupAt: at('02:00'),
  needed: [],
  journal: [],
  witnessSampledAt: at('11:58'),
  isWitnessPending: false,
};

function job(
  kind: JournalRecord['kind'],
  startedAt: Date,
  outcome: 'succeeded' | 'unavailable' | 'refused' | 'killed',
  minutes = 1,
): JournalRecord {
  const begun = jobBegins({ id: `${kind}-${startedAt.toISOString()}`, kind, trigger: 'schedule', startedAt });
  const endedAt = new Date(startedAt.getTime() + minutes * 60_000);
  if (outcome === 'killed') return begun;
  if (outcome === 'succeeded') return jobSucceeded(begun, endedAt, { about: { backup: 'b1' } });
  return jobFailed(begun, endedAt, new Failure(outcome, 'it did not work'));
}

const dueAt = (facts: Partial<DueFacts>) => dueJobs({ ...idle, ...facts });

test('nothing is due right after everything was done', () => {
  expect(dueAt({})).toEqual([]);
});

test('who is not the owner has nothing to do, whatever the schedule says', () => {
  expect(dueAt({ isOwner: false, newestBackupAt: undefined, witnessSampledAt: undefined })).toEqual([]);
});

test('is due when its minute comes, and not before', () => {
  const yesterday = new Date('2026-11-23T02:00:10.000Z');

  expect(
    dueAt({ now: new Date('2026-11-24T01:59:59.000Z'), newestBackupAt: yesterday, witnessSampledAt: at('01:58') }),
  ).toEqual([]);
  expect(dueAt({ now: at('02:00'), newestBackupAt: yesterday, witnessSampledAt: at('01:58') })).toEqual([
    { do: 'backup', trigger: 'schedule', why: 'scheduled for 2026-11-24T02:00:00.000Z' },
  ]);
});

test('that was missed while the machine was off is made up for once', () => {
  const weeksAgo = new Date('2026-11-02T02:00:10.000Z');

  expect(dueAt({ newestBackupAt: weeksAgo })).toEqual([
    { do: 'backup', trigger: 'missed', why: containing('2026-11-24T02:00:00.000Z') },
  ]);
  expect(dueAt({ newestBackupAt: at('11:59') })).toEqual([]);
});

test('is due at once when there is no backup yet', () => {
  expect(dueAt({ newestBackupAt: undefined })).toMatchObject([{ do: 'backup', trigger: 'missed' }]);
});

test('never comes without a schedule', () => {
  expect(dueAt({ schedule: undefined, newestBackupAt: undefined })).toEqual([]);
});

test('comes once on the night that has its hour twice, and once on the night that lacks it', () => {
  const count = (from: string, hours: number) => {
    let newestBackupAt: Date | undefined = new Date(from);
    let backups = 0;
    for (let minute = 0; minute < hours * 60; minute += 1) {
      const now: Date = new Date(new Date(from).getTime() + minute * 60_000);
      const schedule = { expression: '30 2 * * *', zone: 'Europe/Berlin' };
      if (dueAt({ now, schedule, newestBackupAt, walArchiving: false }).length === 0) continue;
      newestBackupAt = now;
      backups += 1;
    }
    return backups;
  };

  expect(count('2026-10-24T22:00:00Z', 24)).toBe(1);
  expect(count('2026-03-28T23:00:00Z', 23)).toBe(1);
});

test.each(['hole', 'foreign-archiver', 'take-over'] as const)(
  'after a %s is due at once, without a schedule too',
  (reason) => {
    const needed = [
      { format: 1 as const, reason, since: at('11:00'), why: 'segments are lost', incarnation: 1, after: 1n },
    ];

    expect(dueAt({ needed, schedule: undefined })).toEqual([
      { do: 'backup', trigger: reason, why: 'segments are lost' },
    ]);
  },
);

const missed = { newestBackupAt: new Date('2026-11-23T02:00:10.000Z') };

test.each([
  [1, 5],
  [2, 10],
  [3, 20],
  [7, 320],
  [8, 360],
  [20, 360],
])('%i times in a row is tried again after %i minutes', (failures, minutes) => {
  const journal = Array.from({ length: failures }, (_, place) =>
    job('backup', new Date(at('02:00').getTime() + place), 'unavailable', 0),
  );
  const last = journal.at(-1)?.endedAt?.getTime() ?? 0;
  const after = (ms: number) => dueAt({ ...missed, journal, now: new Date(last + ms), walArchiving: false });

  expect(after(minutes * 60_000 - 1)).toEqual([]);
  expect(after(minutes * 60_000)).toMatchObject([{ do: 'backup', trigger: 'retry' }]);
});

test('begins to count anew after a success', () => {
  const journal = [
    job('backup', at('01:00'), 'unavailable'),
    job('backup', at('01:10'), 'succeeded'),
    job('prune', at('01:12'), 'succeeded'),
    job('backup', at('02:00'), 'unavailable', 0),
  ];

  expect(dueAt({ ...missed, journal, now: at('02:05'), walArchiving: false })).toMatchObject([{ trigger: 'retry' }]);
});

test('because it was killed counts as failed', () => {
  const journal = [job('backup', at('02:00'), 'killed')];

  expect(dueAt({ ...missed, journal, now: at('02:04'), walArchiving: false })).toEqual([]);
  expect(dueAt({ ...missed, journal, now: at('02:05'), walArchiving: false })).toMatchObject([{ trigger: 'retry' }]);
});

test('in the future, by a wrong clock, delays nothing', () => {
  const journal = [job('backup', new Date('2027-01-01T00:00:00.000Z'), 'unavailable')];

  expect(dueAt({ ...missed, journal })).toMatchObject([{ trigger: 'retry' }]);
});

const backup = job('backup', at('02:00'), 'succeeded');

test('is due after a backup that succeeded, once', () => {
  expect(dueAt({ journal: [backup] })).toEqual([{ do: 'prune', why: 'after backup b1' }]);
  expect(dueAt({ journal: [backup, job('prune', at('02:02'), 'succeeded')] })).toEqual([]);
});

test('is not due after a backup that failed', () => {
  expect(dueAt({ journal: [job('backup', at('02:00'), 'unavailable')] })).toEqual([]);
});

test('that was refused waits for the next backup', () => {
  expect(dueAt({ journal: [backup, job('prune', at('02:02'), 'refused')] })).toEqual([]);
});

test('that failed otherwise is tried again later', () => {
  const journal = [backup, job('prune', at('11:50'), 'unavailable', 0)];

  expect(dueAt({ journal, now: new Date('2026-11-24T11:54:59.000Z'), witnessSampledAt: at('11:53') })).toEqual([]);
  expect(dueAt({ journal, now: at('11:55'), witnessSampledAt: at('11:53') })).toEqual([
    { do: 'prune', why: '1 tries have failed' },
  ]);
});

test('is sampled at most every five minutes', () => {
  expect(dueAt({ witnessSampledAt: at('11:55') })).toEqual([{ do: 'witness' }]);
  expect(dueAt({ witnessSampledAt: new Date('2026-11-24T11:55:00.001Z') })).toEqual([]);
  expect(dueAt({ witnessSampledAt: undefined })).toEqual([{ do: 'witness' }]);
});

test('that waits for its WAL is looked at each time', () => {
  expect(dueAt({ isWitnessPending: true })).toEqual([{ do: 'witness' }]);
});

test('needs archiving', () => {
  expect(dueAt({ walArchiving: false, witnessSampledAt: undefined })).toEqual([]);
});
