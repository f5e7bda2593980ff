import { describe, expect, test } from 'vitest';
import { isFailure } from '../../src/core/failure.ts';
import { principalRun } from '../../src/core/juju-words.ts';
import type { Site, UnitFacts } from '../../src/core/site.ts';
import { planUnits, type FileSetSummary, type UnitPlanRequest } from '../../src/core/unit-plan.ts';

const now = new Date('2026-11-25T03:00:00Z');
const endpoints = { stores: '10.1.0.9:5432', broker: '10.1.0.8', packageSearch: 'localhost' };

function landscape(principal: string, more: Partial<NonNullable<UnitFacts['landscape']>> = {}): UnitFacts {
  return {
    format: 1,
    version: '0.1.0',
    principal,
    roles: ['landscape'],
    cluster: null,
    landscape: {
      profile: 'charmed',
      version: '24.04.9',
      endpoints,
      endpointsDigest: 'd1',
      running: false,
      fenced: false,
      ...more,
    },
  };
}

const database: UnitFacts = {
  format: 1,
  version: '0.1.0',
  principal: 'postgresql/0',
  roles: ['postgresql'],
  cluster: { label: '15/main', major: '15', systemIdentifier: '7', inRecovery: false },
  landscape: null,
};

function site(...units: readonly (readonly [string, UnitFacts | null])[]): Site {
  const all = [['spare/0', database] as const, ...units].map(([unit, facts]) => ({ unit, facts }));
  return { format: 1, at: now, self: 'spare/0', units: all };
}

function set(unit: string, takenAt: string, more: Partial<FileSetSummary> = {}): FileSetSummary {
  const number = unit.split('/')[1] ?? '';
  return {
    model: 'prod-uuid',
    application: 'landscape-backup',
    unit,
    id: `set-${unit}-${takenAt}`,
    takenAt: new Date(takenAt),
    modelName: 'production',
    principal: `landscape-server/${number}`,
    landscapeVersion: '24.04.9',
    ...more,
  };
}

function plan(more: Partial<UnitPlanRequest>) {
  return planUnits({
    site: site(['spare/1', landscape('landscape-server/0')]),
    model: 'spare-uuid',
    sets: [],
    production: { model: 'prod-uuid' },
    notAfter: undefined,
    filesFrom: {},
    now,
    principalAction: (principal, action) => principalRun('3.6.27', principal, action),
    ...more,
  });
}

function refusal(more: Partial<UnitPlanRequest>) {
  try {
    plan(more);
  } catch (error) {
    if (isFailure(error, 'refused')) return { message: error.message, hint: error.hint };
    throw error;
  }
  return undefined;
}

const idOf = (more: Partial<UnitPlanRequest>) => plan(more).units.map(({ fileSet }) => fileSet?.id ?? null);

describe('which files a unit gets', () => {
  const sets = [
    set('prod/1', '2026-11-20T00:00:00Z'),
    set('prod/1', '2026-11-24T00:00:00Z'),
    set('prod/1', '2026-11-25T02:00:00Z'),
  ];

  test('says that the database comes back alone where no Landscape unit was heard of', () => {
    const { units, notes } = plan({ site: site() });

    expect(units).toEqual([]);
    expect(notes).toEqual([
      'No Landscape unit is known here: the database comes back alone. If there is one, wait until juju status shows it idle, then make the plan again.',
    ]);
  });

  test('the newest of the only unit there was', () => {
    expect(idOf({ sets })).toEqual(['set-prod/1-2026-11-25T02:00:00Z']);
  });

  test('never newer ones than the moment that the database is restored to', () => {
    expect(idOf({ sets, notAfter: new Date('2026-11-24T12:00:00Z') })).toEqual(['set-prod/1-2026-11-24T00:00:00Z']);
    expect(idOf({ sets, notAfter: new Date('2026-11-24T00:00:00Z') })).toEqual(['set-prod/1-2026-11-24T00:00:00Z']);
  });

  test('the first that were kept, where the moment is older than those, and the plan says so', () => {
    const { units, notes } = plan({ sets, notAfter: new Date('2026-11-01T00:00:00Z') });
    expect(units[0]?.fileSet?.id).toBe('set-prod/1-2026-11-20T00:00:00Z');
    expect(notes[0]).toContain('old, taken after that moment: there are none older.');
  });

  test('none where none are stored, and the unit keeps its own', () => {
    const { units, notes } = plan({ sets: sets.map((each) => ({ ...each, model: 'another' })) });
    expect(units[0]?.fileSet).toBeNull();
    expect(notes).toEqual(['landscape-server/0 (spare/1): no files are stored for it, its own stay as they are.']);
  });

  test('in the model that the database comes from each unit gets its own', () => {
    const two = [set('spare/1', '2026-11-24T00:00:00Z'), set('spare/2', '2026-11-24T00:00:00Z')];
    const units = site(['spare/1', landscape('landscape-server/0')], ['spare/2', landscape('landscape-server/1')]);
    expect(idOf({ site: units, model: 'prod-uuid', sets: two })).toEqual([
      'set-spare/1-2026-11-24T00:00:00Z',
      'set-spare/2-2026-11-24T00:00:00Z',
    ]);
  });

  test('where it is not plain it is refused, and every choice is named', () => {
    const two = [set('prod/1', '2026-11-24T00:00:00Z'), set('prod/2', '2026-11-24T00:00:00Z')];
    expect(refusal({ sets: two })).toEqual({
      message:
        'whose files landscape-server/0 gets is not plain: there are those of production/landscape-server/1, production/landscape-server/2',
      hint: 'Say it for each Landscape unit: files-from="landscape-server/0=production/landscape-server/1"',
    });
  });

  test.each([
    ['the principals and the name of the model', { 'landscape-server/0': 'production/landscape-server/2' }],
    ['our units and the UUID of the model', { 'spare/1': 'prod-uuid/prod/2' }],
  ])('the operator says it by %s', (_how, filesFrom) => {
    const two = [set('prod/1', '2026-11-24T00:00:00Z'), set('prod/2', '2026-11-23T00:00:00Z')];
    expect(idOf({ sets: two, filesFrom })).toEqual(['set-prod/2-2026-11-23T00:00:00Z']);
  });

  test('names that mean nothing are refused with those that do', () => {
    expect(refusal({ sets, filesFrom: { 'landscape-server/7': 'production/landscape-server/1' } })).toEqual({
      message: 'files-from names landscape-server/7, which is no Landscape unit of this model',
      hint: 'The Landscape units are landscape-server/0.',
    });
    expect(refusal({ sets, filesFrom: { 'landscape-server/0': 'elsewhere/landscape-server/1' } })).toEqual({
      message: 'there are no files of elsewhere/landscape-server/1 for landscape-server/0',
      hint: 'It holds files of production/landscape-server/1.',
    });
  });
});

test('a unit that has said nothing yet stops the plan', () => {
  expect(refusal({ site: site(['spare/1', null]) })).toEqual({
    message: 'spare/1 has not said yet what it is',
    hint: 'Wait until juju status shows it idle, then make the plan again.',
  });
});

test('the endpoints that stay are part of the decision', () => {
  expect(plan({}).units).toEqual([
    { unit: 'spare/1', profile: 'charmed', fileSet: null, endpoints, endpointsDigest: 'd1' },
  ]);
});

test('a person is told of age, of another version, and of what only he can do', () => {
  const running = site(['spare/1', landscape('landscape-server/0', { running: true, version: '24.10.1' })]);
  expect(plan({ site: running, sets: [set('prod/1', '2026-11-25T00:00:00Z')] }).notes).toEqual([
    'landscape-server/0 (spare/1) gets the files of production/landscape-server/1 of 2026-11-25T00:00:00.000Z, 3 h old.',
    'landscape-server/0 (spare/1) has landscape-server 24.10.1, its files are of 24.04.9: a newer one migrates the restored databases when it starts, and there is no way back from that.',
    'landscape-server/0 (spare/1) runs: before confirm, juju run landscape-server/0 pause, and leave it paused until the restore is done.',
  ]);
});
