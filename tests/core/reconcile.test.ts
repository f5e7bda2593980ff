import { describe, expect, test } from 'vitest';
import { factsWithout, type ClusterFacts } from '../../src/core/cluster-facts.ts';
import { agreedOwner, agreedRepository, reconcileJobs, type ReconcileFacts } from '../../src/core/reconcile.ts';

const owner = { ownerId: 'o', systemIdentifier: '7', incarnation: 1 };
const repository = { id: 'a'.repeat(32), url: 'file:///srv/backup' };

function cluster(more: Partial<ClusterFacts> = {}): ClusterFacts {
  const debian = { label: '15/main', major: '15', running: true, inRecovery: false, systemIdentifier: '7' };
  return { ...factsWithout('debian', debian, null), ...more };
}

function jobs(more: Partial<ReconcileFacts>) {
  return reconcileJobs({
    roles: ['postgresql'],
    application: { repository },
    cluster: cluster({ pin: repository, standing: { is: 'owner', incarnation: 1 }, owner }),
    settingsChanged: false,
    isRestoring: false,
    ...more,
  });
}

const standby = { label: '15/main', major: '15', running: true, inRecovery: true, systemIdentifier: '7' };

describe('what a hook starts by itself', () => {
  test.each<[string, Partial<ReconcileFacts>, readonly (readonly string[])[]]>([
    ['nothing where all is as agreed', {}, []],
    ['archiving anew when the options changed', { settingsChanged: true }, [['configure']]],
    ['nothing where no repository was chosen', { application: {}, cluster: cluster() }, []],
    ['joining where the others are joined', { cluster: cluster() }, [['init', '--join']]],
    [
      'joining where this unit is joined to another repository',
      { cluster: cluster({ pin: { ...repository, id: 'b'.repeat(32) } }) },
      [['init', '--join']],
    ],
    ['nothing for a copy', { cluster: cluster({ standing: { is: 'copy', of: 'x', isKept: false } }) }, []],
    ['nothing during a restore over all units', { cluster: cluster(), isRestoring: true }, []],
    [
      'nothing while a restore of this cluster is under way',
      { cluster: cluster({ restore: { planId: 'p', stage: 'unpack' } }) },
      [],
    ],
    ['nothing on a Landscape unit', { roles: ['landscape'], cluster: undefined }, []],
    ['nothing where the machine could not be asked', { cluster: undefined }, []],
    [
      'going on under the same owner on a standby of our cluster',
      { application: { repository, owner }, cluster: cluster({ cluster: standby }) },
      [['adopt-owner', '--owner-id=o', '--system-identifier=7', '--incarnation=1']],
    ],
    [
      'joining on a standby that has the owner already',
      { application: { repository, owner }, cluster: cluster({ cluster: standby, owner }) },
      [['init', '--join']],
    ],
    [
      'the newer incarnation of the same owner, after a restore of the primary in place',
      {
        application: { repository, owner: { ...owner, incarnation: 2 } },
        cluster: cluster({ cluster: standby, owner, pin: repository }),
      },
      [['adopt-owner', '--owner-id=o', '--system-identifier=7', '--incarnation=2']],
    ],
    [
      'no owner for a cluster that is no standby, such as a restored copy with the same identifier',
      { application: { repository, owner }, cluster: cluster({ standing: { is: 'copy', of: 'x', isKept: false } }) },
      [],
    ],
    [
      "no owner for another cluster's standby",
      {
        application: { repository, owner: { ...owner, systemIdentifier: '8' } },
        cluster: cluster({ cluster: standby, pin: repository }),
      },
      [],
    ],
  ])('%s', (_what, facts, wanted) => {
    expect(jobs(facts)).toEqual(wanted);
  });
});

test('the repository is agreed on once: what was said first stays', () => {
  const other = { ...repository, id: 'b'.repeat(32) };
  expect(agreedRepository(undefined, [undefined, repository, other])).toBe(repository);
  expect(agreedRepository(repository, [other])).toBe(repository);
});

test('the owner is what the primary says, whoever leads the application', () => {
  const facts = (inRecovery: boolean) => ({
    format: 1 as const,
    version: '0',
    principal: null,
    roles: ['postgresql' as const],
    cluster: { label: '15/main', major: '15', systemIdentifier: '7', inRecovery },
    landscape: null,
  });
  const newer = { ...owner, incarnation: 2 };
  expect(
    agreedOwner(owner, [
      { facts: facts(true), owner },
      { facts: facts(false), owner: newer },
    ]),
  ).toBe(newer);
  expect(agreedOwner(owner, [{ facts: facts(true), owner: newer }])).toBe(owner);
});
