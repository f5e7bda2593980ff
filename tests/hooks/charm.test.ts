import { describe, expect, test } from 'vitest';
import { Failure } from '../../src/core/failure.ts';
import { factsWithout } from '../../src/core/cluster-facts.ts';
import { charmWorld, repository, restoreId, type CharmWorld } from './charm-world.ts';

const app = 'landscape-backup';

async function joined(options: Parameters<typeof charmWorld>[0] = {}): Promise<CharmWorld> {
  const world = await charmWorld(options);
  const done = await world.model.run(world.beside('postgresql/0'), 'init', { wait: 0 });
  expect(done.status).toBe('completed');
  await world.settle();
  return world;
}

const stages = (world: CharmWorld, unit: string) => world.machineOf(unit).jobs.map(({ id }) => id);
const statusOf = ({ model }: CharmWorld, unit: string) => {
  const { status, message } = model.statusOf(unit);
  return `${status}: ${message}`;
};

describe('from nothing to kept', () => {
  test('without a destination a unit is blocked and says how to set it', async () => {
    const world = await charmWorld({ config: { destination: '' } });
    expect(statusOf(world, world.beside('landscape-server/0'))).toBe(
      'blocked: the option destination is empty, nothing is kept. Next: juju config landscape-backup destination=/srv/backup (a directory that all units share), or juju integrate landscape-backup:s3-parameters s3-integrator',
    );
    expect(world.machineOf(world.beside('postgresql/0')).jobs).toEqual([]);
  });

  test('nothing but init creates or joins a repository; then all units know it and nobody else is asked', async () => {
    const world = await charmWorld();
    const [pg, ls] = [world.beside('postgresql/0'), world.beside('landscape-server/0')];
    expect(statusOf(world, ls)).toContain(`Next: juju run ${pg} init creates or joins it`);
    expect(world.machineOf(pg).settings).not.toContain('repository:');

    await world.model.run(pg, 'init', { wait: 0 });
    await world.settle();

    expect(world.model.bagOf(app, 'peers')['repository']).toBe(JSON.stringify(repository));
    for (const unit of [pg, ls]) {
      expect(world.machineOf(unit).settings).toContain(`repository: "${repository.id}"`);
      expect(world.machineOf(unit).settings).toContain('destination: "/srv/backup"');
    }
    expect(statusOf(world, pg)).toBe('active: 15/main: can restore');
  });

  test('init on a Landscape unit names the unit that has the database, and does nothing', async () => {
    const world = await charmWorld();
    const ls = world.beside('landscape-server/0');
    const result = await world.model.run(ls, 'init');
    expect(result.status).toBe('failed');
    expect(result.message).toBe(`${ls} has no database beside it. Next: juju run ${world.beside('postgresql/0')} init`);
    expect(world.machineOf(ls).jobs).toEqual([]);
  });

  test('a wrong option blocks with option, value and rule, and the last good options stay', async () => {
    const world = await joined();
    const pg = world.beside('postgresql/0');
    const before = world.machineOf(pg).settings;

    world.model.config(app, { 'retention-count': 0 });
    await world.settle();

    expect(statusOf(world, pg)).toContain(
      'blocked: option retention-count is 0, it must be a whole number of backups from 1 to 10000',
    );
    expect(world.machineOf(pg).settings).toBe(before);
    world.model.config(app, { 'retention-count': 3 });
    await world.settle();
    expect(world.machineOf(pg).settings).toContain('retention-count: 3');
    expect(world.machineOf(pg).jobs.at(-1)?.argv).toEqual(['configure']);
    expect(statusOf(world, pg)).toContain('active');
  });

  test('backup beside the database takes it, elsewhere it takes the files and names the other unit', async () => {
    const world = await joined();
    const [pg, ls] = [world.beside('postgresql/0'), world.beside('landscape-server/0')];
    const result = await world.model.run(ls, 'backup');
    expect(world.machineOf(ls).jobs.map(({ argv }) => argv)).toContainEqual(['backup-files']);
    expect(result.results['result']).toContain(`the database is not here: juju run ${pg} backup`);

    await world.model.run(pg, 'backup', { label: 'before it' });
    expect(world.machineOf(pg).jobs.map(({ argv }) => argv)).toContainEqual(['backup', '--label=before it']);
  });
});

describe('a replicated PostgreSQL', () => {
  test('goes on under one owner after a failover, and only its primary was claimed', async () => {
    const world = await joined({
      postgresql: 2,
      prepare: (machine, principal) => {
        if (principal !== 'postgresql/1') return;
        const standby = { label: '15/main', major: '15', running: true, inRecovery: true, systemIdentifier: '7' };
        machine.cluster = factsWithout('debian', standby, null);
      },
    });
    const [primary, standby] = [world.beside('postgresql/0'), world.beside('postgresql/1')];

    expect(world.machineOf(standby).cluster.owner).toEqual(world.machineOf(primary).cluster.owner);
    expect(world.machineOf(standby).jobs.map(({ verb }) => verb)).toEqual(['adopt-owner', 'init']);
    expect(JSON.parse(world.model.bagOf(app, 'peers')['owner'] ?? '')).toMatchObject({
      ownerId: `owner-of-${primary}`,
    });
  });
});

describe('restore over all units', () => {
  test('printed on the unit with the database, confirmed there, done stage by stage everywhere', async () => {
    const world = await charmWorld({ landscape: 2 });
    const pg = world.beside('postgresql/0');
    const lss = [world.beside('landscape-server/0'), world.beside('landscape-server/1')];
    for (const leader of [pg, lss[0] ?? '']) world.model.moveLeadership(app, leader);
    const confirmed = await confirm(world, pg);
    expect(confirmed.results['result']).toContain(`the restore of plan ${restoreId} begins on`);
    await world.settle();

    expect(stages(world, pg).filter((id) => id.startsWith('restore-1-'))).toEqual([
      `restore-1-${restoreId}-check-1-postgresql`,
      `restore-1-${restoreId}-database-1-postgresql`,
    ]);
    for (const ls of lss) {
      expect(stages(world, ls)).toEqual(
        ['check', 'quiesce', 'files', 'verify', 'resume'].map((stage) => `restore-1-${restoreId}-${stage}-1-landscape`),
      );
    }
    expect(JSON.parse(world.model.bagOf(app, 'peers')['restore'] ?? '')).toMatchObject({ ended: true });
    expect(world.machineOf(lss[0] ?? '').shares.get(restoreId)).toMatchObject({ credentials: 'spare' });
  });

  test.each(['planner', 'other'])('confirmed while the leader is the %s', async (who) => {
    const world = await charmWorld({ landscape: 1 });
    const pg = world.beside('postgresql/0');
    world.model.moveLeadership(app, who === 'planner' ? pg : world.beside('landscape-server/0'));
    await confirm(world, pg);
    await world.settle();
    expect(JSON.parse(world.model.bagOf(app, 'peers')['restore'] ?? '')).toMatchObject({ ended: true });
  });

  test('asked for on a Landscape unit it names the other unit with the same parameters', async () => {
    const world = await charmWorld();
    const result = await world.model.run(world.beside('landscape-server/0'), 'restore', {
      to: 'time=2026-11-24T02:59:00Z',
      exclusive: true,
    });
    expect(result.message).toContain(
      `Next: juju run ${world.beside('postgresql/0')} restore to=time=2026-11-24T02:59:00Z exclusive=true`,
    );
  });

  test('Landscape that runs is to be paused first, and nothing begins', async () => {
    const world = await charmWorld({
      prepare: (machine) => {
        const { landscape } = machine;
        if (landscape === undefined || landscape.published === null) return;
        machine.landscape = { ...landscape, published: { ...landscape.published, running: true } };
      },
    });
    const pg = world.beside('postgresql/0');
    const result = await confirm(world, pg);
    expect(result).toMatchObject({
      status: 'failed',
      message:
        'Landscape still runs on landscape-server/0; nothing was changed. Next: juju run landscape-server/0 pause; then the same command again',
    });
    expect(world.model.bagOf(pg, 'peers')['restore-intent']).toBeUndefined();
  });

  test('a stage that fails stops everybody; the same confirm goes on', async () => {
    let fails = true;
    const world = await charmWorld({
      verbs: {
        'verify-files': () => {
          if (fails) throw new Failure('damaged', 'service.conf is not what the plan wanted');
          return { text: 'verified', json: {} };
        },
      },
    });
    const [pg, ls] = [world.beside('postgresql/0'), world.beside('landscape-server/0')];
    await confirm(world, pg);
    await world.settle();
    for (const unit of [pg, ls])
      expect(statusOf(world, unit)).toContain(
        `blocked: restore ${restoreId} stopped at verify on ${ls}: service.conf is not what the plan wanted. Next: juju run ${pg} restore confirm=${restoreId} goes on`,
      );
    fails = false;
    const again = await world.model.run(pg, 'restore', { confirm: restoreId });
    expect(again.results['result']).toContain('goes on');
    await world.settle();
    expect(stages(world, ls)).toContain(`restore-1-${restoreId}-verify-2-landscape`);
    expect(JSON.parse(world.model.bagOf(app, 'peers')['restore'] ?? '')).toMatchObject({ ended: true, attempt: 2 });
  });

  test('given up, the database first, then the files', async () => {
    const world = await charmWorld();
    const [pg, ls] = [world.beside('postgresql/0'), world.beside('landscape-server/0')];
    await confirm(world, pg);
    await world.settle();
    const asked = await world.model.run(pg, 'abandon-restore');
    expect(asked.results['result']).toContain(`juju run ${pg} abandon-restore confirm=${restoreId}`);
    await world.model.run(pg, 'abandon-restore', { confirm: restoreId });
    await world.settle();
    expect(stages(world, pg).at(-1)).toBe(`abandon-2-${restoreId}-abandon-database-1-postgresql`);
    expect(stages(world, ls).at(-1)).toBe(`abandon-2-${restoreId}-abandon-files-1-landscape`);
    expect(JSON.parse(world.model.bagOf(app, 'peers')['restore'] ?? '')).toMatchObject({
      kind: 'abandon',
      ended: true,
    });
  });

  test('a unit lost before the database is touched stops it, later it is left out by a word', async () => {
    const world = await charmWorld({ landscape: 2 });
    const pg = world.beside('postgresql/0');
    const lost = world.beside('landscape-server/1');
    await confirm(world, pg);
    await world.sim.settle();
    world.model.removeUnit('landscape-server/1');
    await world.settle();
    expect(statusOf(world, pg)).toContain(`${lost} is gone. Next: nothing was touched yet`);
    const refused = await world.model.run(pg, 'restore', { confirm: restoreId, without: lost });
    expect(refused.status).toBe('failed');
  });
});

/** Makes the plan and confirms it, as an operator does; the jobs of the two actions end while they are followed. */
async function confirm({ model }: CharmWorld, unit: string) {
  const plan = await model.run(unit, 'restore');
  expect(plan.results['result']).toContain(`Plan ${restoreId}`);
  return await model.run(unit, 'restore', { confirm: restoreId });
}
