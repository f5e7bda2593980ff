import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
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
  second: [],
};

const behind = {
  level: 'attention' as const,
  text: 'files: the second destination file:///srv/second lacks 2 objects',
  next: 'They are brought over by themselves; landscape-backup run-due-files tells what is in the way.',
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
  identity: null,
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

const during = (step: SiteStep, kind: Intent['kind'] = 'restore', spokesman = 'lb/0') => ({
  restore: { intent: { ...intent, kind }, step, spokesman },
});

type Case = readonly [string, Partial<StatusFacts>, string];

const cases: readonly Case[] = [
  ['all is well', {}, 'active: 15/main: can restore to any second from A to B'],
  [
    'an option that breaks its rule',
    {
      invalid: {
        message: 'option retention-count is 0, it must be a whole number of backups from 1 to 10000',
        next: 'juju config lb …',
      },
    },
    'blocked: option retention-count is 0, it must be a whole number of backups from 1 to 10000. Next: juju config lb …; until then the last good options are in force',
  ],
  [
    'a secret that Juju does not give at the moment',
    {
      invalid: {
        message: 'option s3-secret-key is secret:x, and Juju could not be asked for it: the backend is sealed',
        next: 'wait; it is asked again within minutes',
      },
    },
    'blocked: option s3-secret-key is secret:x, and Juju could not be asked for it: the backend is sealed. Next: wait; it is asked again within minutes; until then the last good options are in force',
  ],
  ...[
    'says nothing yet',
    'does not say access-key and secret-key yet',
    'names secret:x, a secret that is not there',
  ].map((what): Case => [
    `a store's charm that ${what}`,
    {
      invalid: {
        status: 'waiting',
        message: `the relation s3-parameters ${what}`,
        next: 'juju status s3-integrator tells what it lacks',
      },
    },
    `waiting: the relation s3-parameters ${what}. Next: juju status s3-integrator tells what it lacks; until then the last good options are in force`,
  ]),
  [
    'what a store is said to be by option and relation',
    {
      invalid: {
        message: 'option destination is s3://a, and the relation s3-parameters names s3://b: they must be the same',
        next: 'juju config lb --reset destination, or juju remove-relation lb:s3-parameters s3-integrator',
      },
    },
    'blocked: option destination is s3://a, and the relation s3-parameters names s3://b: they must be the same. Next: juju config lb --reset destination, or juju remove-relation lb:s3-parameters s3-integrator; until then the last good options are in force',
  ],
  [
    'a bad word of a relation',
    {
      invalid: {
        message:
          'the relation s3-parameters says region "a b", it must be empty, or the name of a region (a region is a word such as eu-central-1)',
        next: 'juju config s3-integrator region=…',
      },
    },
    'blocked: the relation s3-parameters says region "a b", it must be empty, or the name of a region (a region is a word such as eu-central-1). Next: juju config s3-integrator region=…; until then the last good options are in force',
  ],
  [
    'a proxy of the model that is none',
    {
      invalid: {
        message: "the model's setting juju-https-proxy is (secret), it must be empty, or the URL of a proxy (no URL)",
        next: 'juju model-config juju-https-proxy=…',
      },
    },
    "blocked: the model's setting juju-https-proxy is (secret), it must be empty, or the URL of a proxy (no URL). Next: juju model-config juju-https-proxy=…; until then the last good options are in force",
  ],
  [
    'a store without its keys',
    {
      invalid: {
        message: 'option s3-access-key is empty, and the destination is an S3 store',
        next: 'juju config lb s3-access-key=…',
      },
    },
    'blocked: option s3-access-key is empty, and the destination is an S3 store. Next: juju config lb s3-access-key=…; until then the last good options are in force',
  ],
  [
    'a place that is none',
    {
      invalid: {
        message:
          'the relation s3-parameters names s3://a, which is no destination: the bucket must be 3 to 255 letters',
        next: 'juju config s3-integrator bucket=<bucket> path=<folder>',
      },
    },
    'blocked: the relation s3-parameters names s3://a, which is no destination: the bucket must be 3 to 255 letters. Next: juju config s3-integrator bucket=<bucket> path=<folder>; until then the last good options are in force',
  ],
  [
    'a store without a bucket',
    {
      invalid: {
        message: 'the relation s3-parameters names no bucket',
        next: 'juju config s3-integrator bucket=<bucket>, or juju config lb destination=s3://<bucket>/<folder>',
      },
    },
    'blocked: the relation s3-parameters names no bucket. Next: juju config s3-integrator bucket=<bucket>, or juju config lb destination=s3://<bucket>/<folder>; until then the last good options are in force',
  ],
  [
    'a recipient that nobody has confirmed',
    {
      invalid: {
        message: 'option encryption-recipients holds age1x, which nobody has confirmed',
        next: 'compare it, then set encryption-confirmed to: x',
      },
    },
    'blocked: option encryption-recipients holds age1x, which nobody has confirmed. Next: compare it, then set encryption-confirmed to: x; until then the last good options are in force',
  ],
  [
    'no destination',
    { destination: undefined },
    'blocked: the option destination is empty, nothing is kept. Next: juju config lb destination=/srv/backup (a directory that all units share), or juju integrate lb:s3-parameters s3-integrator',
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
    'files that the second destination lacks',
    { health: undefined, roles: ['landscape'], files: { ...files, second: [behind] } },
    'active: files: 12 kept, unchanged since 2026-11-24T02:00:00.000Z; files: the second destination file:///srv/second lacks 2 objects. Next: They are brought over by themselves; juju ssh lb/0 sudo landscape-backup run-due-files tells what is in the way',
  ],
  [
    'files that the second destination lacks for long',
    { health: undefined, roles: ['landscape'], files: { ...files, second: [{ ...behind, level: 'alarm' }] } },
    'blocked: files: the second destination file:///srv/second lacks 2 objects. Next: They are brought over by themselves; juju ssh lb/0 sudo landscape-backup run-due-files tells what is in the way',
  ],
  [
    'a second destination that is away for a moment',
    { health: undefined, roles: ['landscape'], files: { ...files, second: [{ ...behind, level: 'ok' }] } },
    'active: files: 12 kept, unchanged since 2026-11-24T02:00:00.000Z',
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
  [
    'a restore whose planner is lost',
    { ...during({ is: 'lost', units: ['lb/0'], mayLeaveOut: false }, 'restore', 'lb/1'), unit: 'lb/1' },
    'blocked: restore 0123456789abcdef stopped: lb/0 is gone. Next: juju run lb/1 abandon-restore confirm=0123456789abcdef puts back what the other units had; then make a new plan',
  ],
  [
    'a unit lost while a restore is given up',
    during({ is: 'lost', units: ['lb/2'], mayLeaveOut: true }, 'abandon'),
    'blocked: giving up restore 0123456789abcdef stopped: lb/2 is gone. Next: juju run lb/0 abandon-restore confirm=0123456789abcdef goes on without',
  ],
  [
    'giving up that failed',
    during({ is: 'failed', stage: 'abandon-files', of: 'lb/2', failure: null }, 'abandon'),
    'blocked: giving up restore 0123456789abcdef stopped at abandon-files on lb/2: it did not say why. Next: juju run lb/0 abandon-restore confirm=0123456789abcdef tries again',
  ],
  [
    'a fence that nobody needs',
    { health: undefined, roles: ['landscape'], files: { ...files, fenced: true } },
    "blocked: Landscape's services are fenced and no restore is under way. Next: juju ssh lb/0 sudo landscape-backup unfence",
  ],
];

describe('what juju status shows', () => {
  test.each(cases)('%s', (_what, facts, wanted) => {
    expect(said(facts)).toBe(wanted);
  });
});

interface Row {
  readonly row: string;
  readonly pattern: RegExp;
  /** How many letters of the text are fixed: the row with most of them is the one that is meant. */
  readonly letters: number;
}

function escape(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}

/** The rows of the README's table of statuses. */
async function readTable(): Promise<readonly Row[]> {
  const text = await readFile(join(import.meta.dirname, '..', '..', 'README.md'), 'utf8');
  const [, after = ''] = text.split(/^## Statuses\n/m);
  const [section = ''] = after.split(/^## /m);
  const rows = section.split('\n').filter((line) => /^\| (active|blocked|maintenance|waiting) /.test(line));
  return rows.map((row) => {
    const [, status = '', shown = ''] = row.split('|').map((cell) => cell.trim());
    const words = shown.replaceAll('`', '').split(/<[^>]*>/);
    const pattern = new RegExp(`^${status}: ${words.map(escape).join('.+')}`);
    return { row, pattern, letters: words.join('').replaceAll(/[^a-z]/g, '').length };
  });
}

test('the README tells every status and what to do, and no others', async () => {
  const table = await readTable();
  const used = new Set<Row>();
  for (const [what, facts] of cases) {
    const status = said(facts);
    const [best] = table.filter(({ pattern }) => pattern.test(status)).toSorted((a, b) => b.letters - a.letters);
    if (best === undefined) throw new Error(`the README does not tell of: ${status}`);
    // What a machine, a cluster or a job says of itself has a row for all of it; our own words have one of their own.
    const theirs = [facts.trouble?.message, facts.jobs?.[0]?.progress?.phase, (facts.health ?? health).text];
    if (best.letters === 0)
      expect(
        theirs.some((text) => text !== undefined && status.includes(text)),
        what,
      ).toBe(true);
    used.add(best);
  }
  expect(table.filter((row) => !used.has(row)).map(({ row }) => row)).toEqual([]);
  for (const { row } of table) expect(row.split('|')[3]?.trim(), row).not.toBe('');
});
