import { describe, expect, test } from 'vitest';
import type { Job } from '../../src/core/job.ts';
import type { Intent, SiteStep } from '../../src/core/site-restore.ts';
import type { FilesStatus } from '../../src/core/landscape-facts.ts';
import { unitStatus, type StatusFacts } from '../../src/core/unit-status.ts';

const files: FilesStatus = {
  fenced: false,
  keptAt: new Date('2026-11-24T02:00:00Z'),
  count: 12,
  missing: [],
  failure: null,
};

const health = {
  level: 'ok' as const,
  text: '15/main: can restore to any second from A to B',
  next: null,
  details: [],
};

const intent: Intent = {
  format: 1,
  sequence: 1,
  run: 1,
  kind: 'restore',
  planId: '0123456789abcdef',
  planner: 'lb/0',
  attempt: 1,
  credentials: 'spare',
  units: [],
  without: [],
  ended: false,
  at: new Date(0),
};

function job(verb: string, more: Partial<Job> = {}): Job {
  return {
    id: `${verb}-1`,
    verb,
    argv: [verb],
    startedAt: new Date(0),
    state: 'running',
    progress: undefined,
    result: undefined,
    endedAt: undefined,
    exitCode: undefined,
    failure: undefined,
    ...more,
  };
}

function said(more: Partial<StatusFacts>) {
  const { status, message } = unitStatus({
    unit: 'lb/0',
    jujuVersion: '3.6.27',
    application: 'lb',
    roles: ['postgresql'],
    invalid: undefined,
    destination: 'file:///srv/backup',
    isJoined: true,
    paused: undefined,
    isCopy: false,
    joiner: 'lb/0',
    restore: undefined,
    trouble: undefined,
    health,
    files: undefined,
    jobs: [],
    ...more,
  });
  return `${status}: ${message}`;
}

const during = (step: SiteStep, kind: Intent['kind'] = 'restore') => ({
  restore: { intent: { ...intent, kind }, step },
});

describe('what juju status shows', () => {
  test.each<[string, Partial<StatusFacts>, string]>([
    ['all is well', {}, 'active: 15/main: can restore to any second from A to B'],
    [
      'an option that breaks its rule',
      {
        invalid: {
          message: 'option retention-count is 0, it must be a whole number of backups from 1 to 10000',
          hint: null,
        },
      },
      'blocked: option retention-count is 0, it must be a whole number of backups from 1 to 10000. Next: juju config lb …; until then the last good options are in force',
    ],
    [
      'no destination',
      { destination: undefined },
      'blocked: the option destination is empty, nothing is kept. Next: juju config lb destination=/srv/backup (a directory that all units share)',
    ],
    [
      'not joined, on a Landscape unit',
      { isJoined: false, unit: 'lb/1' },
      'blocked: not joined to a repository at file:///srv/backup, nothing is kept. Next: juju run lb/0 init creates or joins it; on a spare: juju run lb/0 restore',
    ],
    [
      'not joined, on 2.9',
      { isJoined: false, jujuVersion: '2.9.49' },
      'blocked: not joined to a repository at file:///srv/backup, nothing is kept. Next: juju run-action lb/0 init --wait creates or joins it; on a spare: juju run-action lb/0 restore --wait',
    ],
    [
      'a restored copy, also where nothing was joined',
      {
        isJoined: false,
        isCopy: true,
        health: {
          ...health,
          level: 'blocked',
          text: '15/main: restored copy of a/0, not archived: take-over, or keep it as a copy',
          next: 'landscape-backup take-over, or landscape-backup take-over --keep-copy',
        },
      },
      'blocked: 15/main: restored copy of a/0, not archived: take-over, or keep it as a copy. Next: juju run lb/0 take-over, or juju run lb/0 take-over keep-copy=true',
    ],
    [
      'a machine that could not be asked',
      { trouble: { message: 'PostgreSQL runs from a snap', hint: null } },
      'blocked: PostgreSQL runs from a snap',
    ],
    [
      'a job that a person waits for',
      {
        jobs: [
          job('backup', {
            progress: { at: new Date(0), phase: 'copying the cluster', bytes: 50, estimatedBytes: 200 },
          }),
        ],
      },
      'maintenance: backup: copying the cluster, 25 % of 200 B',
    ],
    ['what the timer does', { jobs: [job('run-due')] }, 'active: 15/main: can restore to any second from A to B'],
    [
      'attention that may pass',
      {
        health: {
          ...health,
          level: 'attention',
          text: '15/main: 3 WAL files wait',
          next: 'landscape-backup check says what is in the way.',
        },
      },
      'active: 15/main: 3 WAL files wait. Next: juju run lb/0 check says what is in the way',
    ],
    [
      'files',
      { health: undefined, roles: ['landscape'], files },
      'active: files: 12 kept, unchanged since 2026-11-24T02:00:00.000Z',
    ],
    [
      'files that lack one',
      { health: undefined, roles: ['landscape'], files: { ...files, missing: ['/etc/landscape/service.conf'] } },
      'active: files: 12 kept, unchanged since 2026-11-24T02:00:00.000Z, missing: /etc/landscape/service.conf',
    ],
    [
      'files that could not be kept',
      {
        health: undefined,
        roles: ['landscape'],
        files: { ...files, failure: { message: 'the destination is not there', hint: 'landscape-backup check' } },
      },
      'blocked: files: the destination is not there. Next: juju run lb/0 check',
    ],
    [
      'no files yet',
      { health: undefined, roles: ['landscape'], files: { ...files, keptAt: null } },
      'active: files: not kept yet; the schedule does it. Next: juju run lb/0 backup',
    ],
    [
      'both on one unit',
      { roles: ['postgresql', 'landscape'], files },
      'active: 15/main: can restore to any second from A to B; files: 12 kept, unchanged since 2026-11-24T02:00:00.000Z',
    ],
    ['neither', { health: undefined, roles: [] }, 'waiting: neither PostgreSQL nor Landscape is related to this unit'],
    [
      'a restore that begins',
      during({ is: 'begin', stage: 'check' }),
      'maintenance: restore 0123456789abcdef: check begins',
    ],
    [
      'a restore whose job runs',
      {
        ...during({ is: 'running', stage: 'database' }),
        jobs: [job('restore', { progress: { at: new Date(0), phase: 'recovery', note: '16/B374D848' } })],
      },
      'maintenance: restore 0123456789abcdef: database: recovery, 16/B374D848',
    ],
    [
      'a restore that waits',
      during({ is: 'waiting', stage: 'files', for: ['lb/0', 'lb/2'] }),
      'maintenance: restore 0123456789abcdef: files waits for lb/0, lb/2',
    ],
    [
      'a restore that failed',
      during({ is: 'failed', stage: 'database', of: 'lb/0', failure: { message: 'no room', hint: 'Make room.' } }),
      'blocked: restore 0123456789abcdef stopped at database on lb/0: no room. Next: Make room. Then juju run lb/0 restore confirm=0123456789abcdef goes on; juju run lb/0 abandon-restore confirm=0123456789abcdef goes back',
    ],
    [
      'a unit lost early',
      during({ is: 'lost', units: ['lb/2'], mayLeaveOut: false }),
      'blocked: restore 0123456789abcdef stopped: lb/2 is gone. Next: nothing was touched yet: juju run lb/0 abandon-restore confirm=0123456789abcdef; then make a new plan',
    ],
    [
      'a unit lost late',
      during({ is: 'lost', units: ['lb/2'], mayLeaveOut: true }),
      'blocked: restore 0123456789abcdef stopped: lb/2 is gone. Next: juju run lb/0 restore without=lb/2 confirm=0123456789abcdef goes on without; juju run lb/0 abandon-restore confirm=0123456789abcdef goes back',
    ],
    [
      'a restore that is given up',
      during({ is: 'running', stage: 'abandon-database' }, 'abandon'),
      'maintenance: giving up restore 0123456789abcdef: abandon-database',
    ],
    [
      'a restore that is done, on a Landscape unit that waits for its operator',
      { ...during({ is: 'done' }), roles: ['landscape'], health: undefined, files, paused: 'landscape-server/0' },
      'blocked: restored by plan 0123456789abcdef, and Landscape is paused on landscape-server/0. Next: juju run landscape-server/0 resume',
    ],
    [
      'a Landscape unit whose restored database nobody has taken over',
      { ...during({ is: 'done' }), roles: ['landscape'], health: undefined, files, isJoined: false },
      'active: restored by plan 0123456789abcdef; its files are not kept before the take-over (juju run lb/0 take-over)',
    ],
    ['a restore that is done', during({ is: 'done' }), 'active: 15/main: can restore to any second from A to B'],
  ])('%s', (_what, facts, wanted) => {
    expect(said(facts)).toBe(wanted);
  });
});
