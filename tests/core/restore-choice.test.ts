import { expect, test } from 'vitest';
import type { ClusterCatalogue, IncarnationCatalogue } from '../../src/core/catalogue.ts';
import { chooseBackups, chooseCluster, chooseIncarnation, chooseSelfContained } from '../../src/core/restore-choice.ts';
import { judgeStanding, type LocalStanding } from '../../src/core/restore-standing.ts';
import { backup, incarnation, lsnIn } from './catalogue-builder.ts';

const sysid = '7000000000000000001';
const end = { target: { to: 'end' } } as const;

function cluster(...incarnations: readonly IncarnationCatalogue[]): ClusterCatalogue {
  return { systemIdentifier: sysid, incarnations };
}

test('the only cluster is taken, the named one, or that of the unit itself; several are named and refused', () => {
  expect(chooseCluster(undefined, ['1'], undefined)).toBe('1');
  expect(chooseCluster('2', ['1', '2'], undefined)).toBe('2');
  expect(chooseCluster(undefined, ['1', '2'], '2')).toBe('2');
  expect(() => chooseCluster(undefined, ['1', '2'], undefined)).toThrow('the repository holds several clusters: 1, 2');
  expect(() => chooseCluster(undefined, [], undefined)).toThrow('the repository holds no cluster yet');
  expect(() => chooseCluster('3', ['1', '2'], '2')).toThrow('the repository holds no cluster 3');
});

test('the newest incarnation is taken, or the preferred, or the named', () => {
  const three = cluster(
    ...[1, 2, 3].map((number) => incarnation({ number, backups: [backup({ daysAgo: 4 - number, segment: 5 })] })),
  );

  expect(chooseIncarnation(three, undefined, undefined)).toMatchObject({ incarnation: { number: 3 }, notes: [] });
  expect(chooseIncarnation(three, undefined, 1).incarnation.number).toBe(1);
  expect(chooseIncarnation(three, 2, 1).incarnation.number).toBe(2);
  expect(() => chooseIncarnation(three, 4, undefined)).toThrow(expect.objectContaining({ hint: 'It has 1, 2, 3.' }));
});

test('an incarnation that was only claimed is passed over, and that is said', () => {
  const empty = incarnation({ number: 2, backups: [], parent: { incarnation: 1, timeline: 1, lsn: lsnIn(7) } });
  const two = cluster(incarnation({ backups: [backup({ daysAgo: 1, segment: 5 })] }), empty);

  expect(chooseIncarnation(two, undefined, undefined)).toMatchObject({
    incarnation: { number: 1 },
    notes: ['Incarnation 2 is newer and holds no backup yet: this is incarnation 1, as it was before.'],
  });
  expect(chooseIncarnation(two, 2, undefined)).toMatchObject({ incarnation: { number: 2 }, notes: [] });
  expect(chooseIncarnation(cluster(empty), undefined, undefined).incarnation.number).toBe(2);
});

test('a damaged backup is passed over and said; named, it is refused', () => {
  const [old, bad] = [backup({ daysAgo: 5, segment: 5 }), backup({ daysAgo: 1, segment: 9 })];
  const one = incarnation({ backups: [old, bad], wal: { 1: [[5, 20]] }, marks: { [bad.id]: ['damaged'] } });

  const { windows, notes } = chooseBackups(cluster(one), one, end);

  expect(windows.map((window) => window.backup.id)).toEqual([old.id]);
  expect(notes).toEqual([expect.stringContaining(`Backup ${bad.id} was passed over`)]);
  expect(() => chooseBackups(cluster(one), one, { ...end, backup: bad.id })).toThrow(`backup ${bad.id} is no use`);
});

test('a named backup decides the timeline: the newest that descends from it', () => {
  const late = backup({ daysAgo: 1, segment: 10 });
  const one = incarnation({
    backups: [backup({ daysAgo: 5, segment: 5 }), late],
    wal: { 1: [[5, 14]], 2: [[9, 20]] },
    histories: { 2: [{ parent: 1, at: lsnIn(9, 500) }] },
  });

  expect(chooseBackups(cluster(one), one, end).way.timeline).toBe(2);
  expect(chooseBackups(cluster(one), one, { ...end, backup: late.id }).way.timeline).toBe(1);
  expect(() => chooseBackups(cluster(one), one, { ...end, backup: late.id, timeline: 2 })).toThrow(
    `timeline 2 of incarnation 1 does not descend from backup ${late.id} (timeline 1)`,
  );
});

test.each([
  ['nothing at all', incarnation({ backups: [] }), {}, 'incarnation 1 holds no complete backup'],
  [
    'a backup without its WAL',
    incarnation({ backups: [backup({ daysAgo: 1, segment: 5 })] }),
    {},
    'no backup of timeline 1 of incarnation 1 has all WAL from its start to its stop',
  ],
  [
    'a backup with its own WAL',
    incarnation({ backups: [backup({ daysAgo: 1, segment: 5, withWal: true })] }),
    {},
    'carries its own WAL and restores to its own end only',
  ],
  [
    'an unfinished backup',
    incarnation({
      backups: [],
      unfinished: [{ id: '20261124T000000Z-3f9a1c', storedBytes: 1, unreadable: undefined }],
    }),
    { backup: '20261124T000000Z-3f9a1c' },
    'backup 20261124T000000Z-3f9a1c is not complete',
  ],
])('%s is refused in its own words', (_name, one, wishes, message) => {
  expect(() => chooseBackups(cluster(one), one, { ...end, ...wishes })).toThrow(message);
});

test("a backup's own end needs no archive where it carries its WAL, and the newest that can is taken", () => {
  const [archived, own] = [backup({ daysAgo: 2, segment: 5 }), backup({ daysAgo: 1, segment: 9, withWal: true })];
  const choose = (one: IncarnationCatalogue) =>
    chooseSelfContained(cluster(one), one, { target: { to: 'backup' } })?.backup.id;

  expect(choose(incarnation({ backups: [archived, own], wal: { 1: [[5, 8]] } }))).toBe(own.id);
  expect(choose(incarnation({ backups: [archived], wal: { 1: [[5, 8]] } }))).toBeUndefined();
  expect(choose(incarnation({ backups: [own], marks: { [own.id]: ['damaged'] } }))).toBeUndefined();
});

const spare: LocalStanding = { label: '15/main', running: false, systemIdentifier: undefined, owned: undefined };
const owner: LocalStanding = { ...spare, systemIdentifier: sysid, owned: { systemIdentifier: sysid, incarnation: 1 } };
const plain = { inPlace: false, takeOver: false, discardOld: false };

test.each([
  [owner, plain, /is the cluster that these backups belong to, and would be overwritten/],
  [spare, { ...plain, inPlace: true }, /does not own the cluster/],
  [
    { ...owner, owned: { systemIdentifier: '5', incarnation: 1 } },
    { ...plain, inPlace: true },
    /owns the backups of another cluster \(5\)/,
  ],
])('a cluster that may not be overwritten is refused', (local, request, message) => {
  expect(() => judgeStanding(local, cluster(), request)).toThrow(
    expect.objectContaining({ kind: 'refused', message: expect.stringMatching(message) }),
  );
});

test('what is overwritten is said: a stranger, an earlier copy, a running one', () => {
  expect(judgeStanding(spare, cluster(), plain)).toEqual([]);
  expect(
    judgeStanding({ ...spare, running: true, systemIdentifier: '5' }, cluster(), { ...plain, discardOld: true }),
  ).toEqual([
    '15/main holds a cluster (5) that is not kept by this unit; its contents are REMOVED.',
    '15/main is running and is stopped first.',
  ]);
  expect(judgeStanding({ ...spare, systemIdentifier: sysid }, cluster(), plain)).toEqual([
    '15/main is an earlier copy of this cluster; its contents are set aside.',
  ]);
  expect(judgeStanding(owner, cluster(), { ...plain, inPlace: true })).toHaveLength(1);
});
