import { describe, expect, test } from 'vitest';
import { charmWorld, restoreId, type CharmWorld } from './charm-world.ts';

const app = 'landscape-backup';
const planted = 'planted identity';
const key = 'encryption-identity';

/** The argument lists of jobs on a unit, and what each was given to read. */
function jobsOf(world: CharmWorld, principal: string) {
  const machine = world.machineOf(world.beside(principal));
  return machine.jobs.map(({ id, argv }) => ({ argv: argv.join(' '), input: machine.inputs.get(id) }));
}

function withIdentity(world: CharmWorld, principal: string): readonly (readonly [string, string | undefined])[] {
  return jobsOf(world, principal)
    .filter(({ argv }) => argv.includes('--identity-file'))
    .map(({ argv, input }) => [argv, input]);
}

/** Everything that Juju keeps of our units. */
function kept({ model }: CharmWorld): string {
  return JSON.stringify([
    model.bagOf(app, 'peers'),
    ...model.unitsOf(app).map((unit) => [model.bagOf(unit, 'peers'), model.logOf(unit), model.statusOf(unit)]),
  ]);
}

describe.each([
  ['a secret', (world: CharmWorld) => grantedSecret(world), '--identity-file=-', planted],
  ['a file', () => '/root/backup-key.txt', '--identity-file=/root/backup-key.txt', undefined],
])('an identity that is named by %s', (_what, prepare, option, input) => {
  test('reaches each job of a restore that reads what is stored, on every unit, and no other', async () => {
    const world = await charmWorld({ landscape: 1 });
    const identity = prepare(world);
    const pg = world.beside('postgresql/0');

    const plan = await world.model.run(pg, 'restore', { identity });
    expect(plan.status).toBe('completed');
    await world.model.run(pg, 'restore', { confirm: restoreId, identity });
    await world.settle();

    expect(withIdentity(world, 'postgresql/0')).toEqual([
      [expect.stringMatching(`^restore .*${option}$`), input],
      [`restore --check --confirm=${restoreId} ${option}`, input],
      [`restore --check --confirm=${restoreId} ${option}`, input],
      [`restore --other-units-stopped --confirm=${restoreId} ${option}`, input],
    ]);
    expect(withIdentity(world, 'landscape-server/0')).toEqual([
      [`landscape-check --plan ${restoreId} ${option}`, input],
      [`restore-files --plan ${restoreId} ${option}`, input],
    ]);
    expect(jobsOf(world, 'landscape-server/0').at(-1)?.argv).toBe(`resume --plan ${restoreId}`);
    expect(kept(world)).not.toContain(planted);
  });

  test('reaches what encrypts anew on every unit, with the plan that was confirmed', async () => {
    const world = await charmWorld({ landscape: 1 });
    const identity = prepare(world);
    for (const [principal, verb] of [
      ['postgresql/0', 'rewrap'],
      ['landscape-server/0', 'rewrap-files'],
    ] as const) {
      await world.model.run(world.beside(principal), 'rewrap', { identity });
      await world.model.run(world.beside(principal), 'rewrap', { identity, confirm: 'a123456789abcdef' });
      expect(withIdentity(world, principal)).toEqual([
        [`${verb} ${option}`, input],
        [`${verb} --confirm=a123456789abcdef ${option}`, input],
      ]);
    }
    expect(kept(world)).not.toContain(planted);
  });

  test('is tried by check on every unit', async () => {
    const world = await charmWorld({ landscape: 1 });
    const identity = prepare(world);
    for (const [principal, verb] of [
      ['postgresql/0', 'check'],
      ['landscape-server/0', 'check-files'],
    ] as const) {
      await world.model.run(world.beside(principal), 'check', { identity });
      expect(withIdentity(world, principal)).toEqual([[`${verb} ${option}`, input]]);
    }
  });
});

function grantedSecret(world: CharmWorld): string {
  const uri = world.model.addSecret('backup-key', { [key]: planted });
  world.model.grantSecret(uri, app);
  return uri;
}

test('a plan tells the confirm with the place of its identity', async () => {
  const world = await charmWorld({
    landscape: 1,
    verbs: { restore: () => ({ text: `to do it:\n  landscape-backup restore --confirm=${restoreId}\n`, json: {} }) },
  });
  const pg = world.beside('postgresql/0');
  const plan = await world.model.run(pg, 'restore', { identity: '/root/key' });
  expect(plan.results['result']).toContain(`juju run ${pg} restore confirm=${restoreId} identity=/root/key`);
});

test('a secret that is not granted any more stops a restore before anything is stopped, and another place goes on', async () => {
  const world = await charmWorld({ landscape: 1 });
  const identity = grantedSecret(world);
  const [pg, ls] = [world.beside('postgresql/0'), world.beside('landscape-server/0')];
  await world.model.run(pg, 'restore', { identity });
  await world.model.run(pg, 'restore', { confirm: restoreId, identity });
  world.model.revokeSecret(identity, app);
  await world.settle();

  expect(world.model.statusOf(ls).message).toContain(`juju grant-secret ${identity} ${app}`);
  expect(jobsOf(world, 'landscape-server/0').filter(({ argv }) => argv.startsWith('quiesce'))).toEqual([]);

  await world.model.run(pg, 'restore', { confirm: restoreId, identity: '/root/key' });
  await world.settle();
  expect(jobsOf(world, 'landscape-server/0').at(-1)?.argv).toBe(`resume --plan ${restoreId}`);
  expect(withIdentity(world, 'landscape-server/0').at(-1)?.[0]).toContain('--identity-file=/root/key');
});

test.each([
  [
    'restore',
    'secret:d0000000000000000000',
    'and there is none. Next: juju add-secret <name> encryption-identity#file',
  ],
  ['check', 'secret:d0000000000000000000', 'and there is none. Next: juju add-secret <name> encryption-identity#file'],
  ['restore', 'AGE-SECRET-KEY-1PLANTED', 'neither secret:<id> nor the path of a file on the unit'],
])('%s with identity=%s starts nothing', async (action, identity, sentence) => {
  const world = await charmWorld({ landscape: 1 });
  const pg = world.beside('postgresql/0');
  const before = jobsOf(world, 'postgresql/0');
  const { status, message } = await world.model.run(pg, action, { identity });
  expect(status).toBe('failed');
  expect(message).toContain(sentence);
  expect(message + kept(world)).not.toContain('PLANTED');
  expect(jobsOf(world, 'postgresql/0')).toEqual(before);
});
