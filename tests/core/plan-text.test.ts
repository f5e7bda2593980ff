import { expect, test } from 'vitest';
import { planText, type PlanFacts } from '../../src/core/plan-text.ts';
import type { RestorePlan } from '../../src/core/restore-plan.ts';
import { parseLsn } from '../../src/core/lsn.ts';

const plan: RestorePlan = {
  format: 1,
  repositoryId: 'f'.repeat(32),
  url: 'file:///srv/backup',
  cluster: '15/main',
  inPlace: false,
  systemIdentifier: '7000000000000000001',
  incarnation: 1,
  backup: { id: '20261124T000000Z-3f9a1c', incarnation: 1 },
  major: '15',
  segmentSize: 16 * 1024 * 1024,
  target: { to: 'time', time: new Date('2026-11-24T02:03:04Z'), exclusive: false },
  timeline: 1,
  stop: { at: 'record', lsn: parseLsn('0/5000148') },
  switchLsn: parseLsn('0/5000148'),
  after: parseLsn('0/5000148'),
  restoredTo: new Date('2026-11-24T02:03:03.512Z'),
  directories: {
    data: '/var/lib/postgresql/15/main',
    wal: '/srv/wal',
    tablespaces: [{ oid: 16400, was: '/srv/fast', location: '/srv/slow' }],
  },
  discardOld: false,
  service: {
    repositoryId: 'f'.repeat(32),
    url: 'file:///srv/backup',
    systemIdentifier: '7000000000000000001',
    segmentSize: 16 * 1024 * 1024,
    segments: [{ timeline: 1, first: 2, last: 5, incarnation: 1 }],
    histories: [],
  },
  settings: { raised: { max_connections: 500 }, carried: { lc_monetary: 'C.UTF-8' } },
  credentials: 'spare',
  claims: null,
  units: [],
  notes: ['Not protected against prune.'],
};

const facts: PlanFacts = {
  id: '0123456789abcdef',
  backup: {
    label: 'nightly',
    stoppedAt: new Date('2026-11-24T00:01:00Z'),
    plainBytes: 3 * 1024 ** 3,
  },
  now: new Date('2026-11-24T03:04:05Z'),
  running: true,
  room: [{ directories: ['/var/lib/postgresql/15/main'], neededBytes: 3 * 1024 ** 3, freeBytes: 10 * 1024 ** 3 }],
};

test('a plan onto a spare reads like this', () => {
  expect(planText(plan, facts)).toBe(`Plan 0123456789abcdef: restore PostgreSQL 15 onto 15/main

What comes back
  cluster 7000000000000000001, incarnation 1, timeline 1, from file:///srv/backup
  backup 20261124T000000Z-3f9a1c "nightly", 3 hours 3 minutes old, 3.0 GiB
  to 2026-11-24T02:03:04.000Z (UTC), transactions of that very instant included
  stops before the record at 0/5000148; the new timeline leaves at 0/5000148
  by 4 WAL segments (64.0 MiB), each fetched and verified for this plan
  the newest commit that comes back is of 2026-11-24T02:03:03.512Z, 61 minutes ago
  everything committed after it is not in the restored cluster

What is overwritten
  /var/lib/postgresql/15/main; 15/main is running and will be stopped
  /srv/wal (WAL)
  /srv/slow (tablespace 16400) (was /srv/fast)
  the old contents are set aside in the same place: landscape-backup abandon-restore puts them back, remove-old deletes them
  needs 3.0 GiB of 10.0 GiB at /var/lib/postgresql/15/main

Settings
  max_connections is raised to 500: recovery needs it
  lc_monetary = 'C.UTF-8' is taken over from production
  database roles keep this machine's passwords
  everything else stays as it is on this machine

Afterwards
  15/main is a copy: it archives nothing, and nothing here can change the original's backups
  landscape-backup take-over makes it the successor

Note
  Not protected against prune.

Nothing has been changed yet. To do exactly this, on this machine:
  landscape-backup restore --cluster 15/main --confirm=0123456789abcdef
`);
});

test('a plan in place that discards says both in plain words', () => {
  const text = planText(
    { ...plan, inPlace: true, discardOld: true, claims: 2, target: { to: 'end' }, stop: { at: 'end' } },
    facts,
  );

  expect(text).toContain('onto 15/main in place');
  expect(text).toContain('THE OLD CONTENTS ARE DELETED. There is no way back.');
  expect(text).toContain('this cluster goes on as incarnation 2, archiving from its first start without a gap');
  expect(text).toContain('stops at the proven end 0/5000148');
});

test.each([
  [{ to: 'backup' }, "the backup's own end"],
  [{ to: 'lsn', lsn: 0x16_b374_d848n, exclusive: true }, 'LSN 16/B374D848, the record that begins there without it'],
  [{ to: 'name', name: 'before' }, 'the restore point "before"'],
  [{ to: 'xid', xid: 734, exclusive: false }, 'transaction 734, with it'],
] as const)('the target %o is named', (target, words) => {
  expect(planText({ ...plan, target }, facts)).toContain(`  to ${words}\n`);
});
