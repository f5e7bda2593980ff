import { describe, expect, test } from 'vitest';
import { factsWithout } from '../../src/core/cluster-facts.ts';
import { isSecretOption, optionNames, options } from '../../src/core/settings.ts';
import { actionsSchema, type Parameter } from '../packaging/actions-schema.ts';
import { Refused } from '../juju/simulator/refused.ts';
import { newAgeKey } from '../setup/age.ts';
import { charmFiles, charmWorld, restoreId, type CharmWorld } from './charm-world.ts';

const app = 'landscape-backup';

async function joined(options_: Parameters<typeof charmWorld>[0] = {}): Promise<CharmWorld> {
  const world = await charmWorld(options_);
  await world.model.run(world.beside('postgresql/0'), 'init', { wait: 0 });
  await world.settle();
  return world;
}

/** Everything that must not change: settings on disk, what is said to peers, what was started. */
function state(world: CharmWorld): unknown {
  const { model } = world;
  return {
    application: model.bagOf(app, 'peers'),
    units: model.unitsOf(app).map((unit) => {
      const { settings, credentials, jobs } = world.machineOf(unit);
      return { unit, bag: model.bagOf(unit, 'peers'), settings, credentials, jobs: jobs.map(({ id }) => id) };
    }),
  };
}

/** Values of the right type that break an option's rule. Options that take every value of their type have none. */
const badValues: Readonly<Record<string, readonly (string | number)[]>> = {
  destination: ['srv/backup', 'http://host/srv', 'file://host/srv', '/srv/../etc', '/', 's3://', 'sftp://host'],
  'sftp-host-key': ['not a key'],
  'sftp-private-key': ['hunter2'],
  's3-endpoint': ['not a url', 'ftp://store'],
  's3-region': ['a region'],
  's3-uri-style': ['both'],
  's3-access-key': ['two words'],
  's3-secret-key': ['hunter2 with words'],
  's3-ca': ['no certificate'],
  'destination-2': ['srv/backup', 'http://host/srv', '/srv/../etc', 's3://', 'sftp://host'],
  'destination-2-sftp-host-key': ['not a key'],
  'destination-2-sftp-private-key': ['hunter2'],
  'destination-2-s3-endpoint': ['not a url', 'ftp://store'],
  'destination-2-s3-region': ['a region'],
  'destination-2-s3-uri-style': ['both'],
  'destination-2-s3-access-key': ['two words'],
  'destination-2-s3-secret-key': ['hunter2 with words'],
  'destination-2-s3-ca': ['no certificate'],
  'encryption-recipients': ['age1', 'ssh-ed25519 AAAA'],
  'encryption-confirmed': ['abc', 'QQQQQQQQQQQQQQQQ'],
  'encryption-identity': ['hunter2', 'AGE-SECRET-KEY-1HUNTER2'],
  'wal-archiving': [],
  'wal-method': ['both', 'Stream'],
  'archive-timeout': [-1, 86_401],
  'compression-level': [0, 20, -3],
  'backup-schedule': ['daily', '0 2 * *', '61 2 * * *', '0 0 30 2 *', 'CRON_TZ=Nowhere/City 0 2 * * *'],
  'retention-count': [0, 10_001],
  'retention-days': [-1, 36_501],
  'include-logs': [],
  'extra-paths': ['etc/hosts', '/etc/../root', '/'],
  'restart-postgresql': [],
  'upload-limit': [-1, 100_001],
};

describe('options', () => {
  test('every option of the charm is tried here', () => {
    expect(Object.keys(badValues)).toEqual(
      optionNames.filter((name) => !/^(clusters|repository|https?-proxy|no-proxy)$/.test(name)),
    );
  });

  test.each(Object.entries(badValues).flatMap(([name, values]) => values.map((value) => [name, value] as const)))(
    '%s=%j blocks every unit with option, value, rule and next step, and changes nothing',
    async (name, value) => {
      const world = await joined();
      const before = state(world);
      world.model.config(app, { [name]: value });
      await world.settle();

      const shown = isSecretOption(name) ? '(secret)' : JSON.stringify(value);
      const rule = Object.entries(options).find(([each]) => each === name)?.[1].rule ?? 'no such option';
      for (const unit of world.model.unitsOf(app)) {
        const { status, message } = world.model.statusOf(unit);
        expect(status).toBe('blocked');
        expect(message).toContain(`option ${name} is ${shown}, it must be ${rule}`);
        expect(message).toContain(`Next: juju config ${app} …; until then the last good options are in force`);
        if (isSecretOption(name)) expect(JSON.stringify(world.model.logOf(unit)) + message).not.toContain(value);
      }
      expect(state(world)).toEqual(before);

      world.model.config(app, { [name]: undefined });
      if (name === 'destination') world.model.config(app, { destination: '/srv/backup' });
      await world.settle();
      for (const unit of world.model.unitsOf(app)) expect(world.model.statusOf(unit).status).toBe('active');
    },
  );

  test('a recipient blocks every unit until its fingerprint is confirmed, or an identity is at hand to try it', async () => {
    const world = await joined();
    const before = state(world);
    const key = newAgeKey();
    world.model.config(app, { 'encryption-recipients': key.recipient });
    await world.settle();
    for (const unit of world.model.unitsOf(app)) {
      const { status, message } = world.model.statusOf(unit);
      expect(status).toBe('blocked');
      expect(message).toContain(`option encryption-recipients holds ${key.recipient}, which nobody has confirmed`);
      expect(message).toContain(`juju config ${app} encryption-confirmed='${key.fingerprint}'`);
    }
    expect(state(world)).toEqual(before);

    world.model.config(app, { 'encryption-confirmed': key.fingerprint });
    await world.settle();
    for (const unit of world.model.unitsOf(app)) expect(world.model.statusOf(unit).status).toBe('active');

    // For a second one, too, the command that is told is enough as it stands.
    const next = newAgeKey();
    world.model.config(app, { 'encryption-recipients': `${key.recipient} ${next.recipient}` });
    await world.settle();
    const { message } = world.model.statusOf(world.beside('postgresql/0'));
    const [, told = ''] = /juju config \S+ encryption-confirmed='([^']*)'/.exec(message) ?? [];
    world.model.config(app, { 'encryption-confirmed': told });
    await world.settle();
    for (const unit of world.model.unitsOf(app)) expect(world.model.statusOf(unit).status).toBe('active');
  });

  test('an identity that is pasted where a recipient belongs is in no status', async () => {
    const world = await joined();
    const key = newAgeKey();
    world.model.config(app, { 'encryption-recipients': key.identity });
    await world.settle();
    for (const unit of world.model.unitsOf(app)) {
      const { message } = world.model.statusOf(unit);
      expect(message).toContain('encryption-recipients');
      expect(JSON.stringify(world.model.logOf(unit)) + message).not.toContain(key.identity.slice(16));
    }
  });

  test('a value of another type is refused by Juju itself', async () => {
    const world = await charmWorld();
    for (const name of Object.keys(badValues)) {
      const wrong =
        typeof Object.entries(options).find(([each]) => each === name)?.[1].default === 'string' ? 5 : 'text';
      expect(() => {
        world.model.config(app, { [name]: wrong });
      }, name).toThrow(Refused);
    }
  });

  test('before there ever were good options a bad one leaves no settings at all, and actions say so', async () => {
    const world = await charmWorld({ config: { 'retention-count': 0 } });
    const pg = world.beside('postgresql/0');
    expect(world.machineOf(pg).settings).toBeUndefined();
    const said = await world.model.run(pg, 'status');
    expect(said.results['result']).toContain('option retention-count is 0');
  });
});

/** What is asked of which unit, and how it is refused. */
type RefusedCall = readonly [
  name: string,
  where: 'pg' | 'ls',
  action: string,
  params: Record<string, unknown>,
  message: (world: CharmWorld) => string,
];

const actions = actionsSchema.parse(charmFiles.actions);

/** Values that break what `actions.yaml` says of a parameter, as Juju's command line would read them. */
function wrongValues({ type, enum: choices, pattern, minimum, maximum, maxLength }: Parameter) {
  const wrong: unknown[] = { string: [5, 12e45, true], integer: ['x', 1.5, true], boolean: ['yes', 1] }[type];
  if (choices !== undefined) wrong.push('neither');
  if (pattern !== undefined) wrong.push('-', '');
  if (minimum !== undefined) wrong.push(minimum - 1);
  if (maximum !== undefined) wrong.push(maximum + 1);
  if (maxLength !== undefined) wrong.push('a'.repeat(maxLength + 1));
  return wrong;
}

describe.each(['2.9.49', '3.6.27', '4.0.15'])('parameters on Juju %s', (version) => {
  test.each(Object.entries(actions))('%s takes nothing that its declaration does not admit', async (name, action) => {
    const world = await joined({ version });
    const pg = world.beside('postgresql/0');
    const before = state(world);
    const needed = Object.fromEntries(action.required.map((each) => [each, 'a']));
    for (const [param, declared] of Object.entries(action.params)) {
      for (const value of wrongValues(declared)) {
        const call = world.model.run(pg, name, { ...needed, [param]: value });
        await expect(call, `${param}=${String(value)}`).rejects.toThrow(param);
      }
    }
    await expect(world.model.run(pg, name, { ...needed, unknown: 'x' })).rejects.toThrow(/unknown/);
    if (action.required.length > 0) await expect(world.model.run(pg, name, {})).rejects.toThrow(/required/);
    expect(state(world)).toEqual(before);
  });
});

describe('actions that can not be done say what, why and the next step, and change nothing', () => {
  /** The jobs of the engine's own checks aside: they look, and change nothing. */
  const unchanged = (world: CharmWorld) => {
    const looks = /^(restore|abandon-restore)-\d+$/;
    return JSON.parse(
      JSON.stringify(state(world), (_key, value: unknown) =>
        Array.isArray(value) ? value.filter((each) => typeof each !== 'string' || !looks.test(each)) : value,
      ),
    ) as unknown;
  };

  const refused: readonly RefusedCall[] = [
    [
      'without needs confirm',
      'pg',
      'restore',
      { without: 'landscape-backup/9' },
      (w) =>
        `without leaves a lost unit out of a restore that runs, it needs confirm. Next: juju run ${w.beside('postgresql/0')} restore without=<unit> confirm=<plan id>`,
    ],
    [
      'without of a restore that does not run',
      'pg',
      'restore',
      { without: 'landscape-backup/9', confirm: restoreId },
      () =>
        `no restore of plan ${restoreId} runs that landscape-backup/9 could be left out of. Next: Before the restore begins`,
    ],
    [
      'a plan of another unit',
      'ls',
      'restore',
      { confirm: restoreId },
      (w) =>
        `${w.beside('landscape-server/0')} has no database beside it. Next: juju run ${w.beside('postgresql/0')} restore`,
    ],
    [
      'nothing to prune there',
      'ls',
      'prune',
      {},
      (w) => `has no database beside it. Next: juju run ${w.beside('postgresql/0')} prune`,
    ],
    [
      'no point to name there',
      'ls',
      'create-restore-point',
      { name: 'before' },
      (w) => `has no database beside it. Next: juju run ${w.beside('postgresql/0')} create-restore-point name=before`,
    ],
    [
      'nothing to take over there',
      'ls',
      'take-over',
      {},
      (w) => `has no database beside it. Next: juju run ${w.beside('postgresql/0')} take-over`,
    ],
    [
      'nothing to give up there',
      'ls',
      'abandon-restore',
      {},
      (w) => `has no database beside it. Next: juju run ${w.beside('postgresql/0')} abandon-restore`,
    ],
  ];
  test.each(refused)('%s', async (_what, where, action, params, message) => {
    const world = await joined();
    const before = unchanged(world);
    const unit = world.beside(where === 'pg' ? 'postgresql/0' : 'landscape-server/0');
    const result = await world.model.run(unit, action, params);
    expect(result.status).toBe('failed');
    expect(result.message).toContain(message(world));
    expect(unchanged(world)).toEqual(before);
  });

  describe('while a restore runs', () => {
    const during: readonly RefusedCall[] = [
      [
        'another plan',
        'pg',
        'restore',
        {},
        (w) =>
          `a restore of plan ${restoreId} is under way. Next: juju status tells how far it is; juju run ${w.beside('postgresql/0')} abandon-restore confirm=${restoreId} goes back.`,
      ],
      [
        'another plan confirmed',
        'pg',
        'restore',
        { confirm: 'b000000000000000' },
        () => `a restore of plan ${restoreId} is under way. Next:`,
      ],
      [
        'a unit that is there',
        'pg',
        'restore',
        { confirm: restoreId, without: 'LS' },
        (w) => `${w.beside('landscape-server/0')} is there: only a unit that is gone can be left out. Next:`,
      ],
      [
        'a unit that has no part',
        'pg',
        'restore',
        { confirm: restoreId, without: 'foo/9' },
        () => `foo/9 has no part in the restore of plan ${restoreId}. Next: Those who have:`,
      ],
      [
        'given up by another id',
        'pg',
        'abandon-restore',
        { confirm: 'b000000000000000' },
        (w) =>
          `the restore is of plan ${restoreId}, not b000000000000000. Next: juju run ${w.beside('postgresql/0')} abandon-restore says what would be undone.`,
      ],
      [
        'given up on another unit',
        'ls',
        'abandon-restore',
        { confirm: restoreId },
        (w) =>
          `the restore of plan ${restoreId} was made by ${w.beside('postgresql/0')}. Next: juju run ${w.beside('postgresql/0')} abandon-restore`,
      ],
      [
        'old contents removed',
        'pg',
        'remove-old',
        { confirm: restoreId },
        () => `the restore ${restoreId} is not done: what it set aside may still be put back. Next:`,
      ],
    ];
    test.each(during)('%s', async (_what, where, action, params, message) => {
      const world = await charmWorld({ landscape: 1 });
      const [pg, ls] = [world.beside('postgresql/0'), world.beside('landscape-server/0')];
      await world.model.run(pg, 'restore');
      await world.model.run(pg, 'restore', { confirm: restoreId });
      await world.sim.settle();
      const before = unchanged(world);
      const given = Object.fromEntries(
        Object.entries(params).map(([name, value]) => [name, value === 'LS' ? ls : value]),
      );
      const result = await world.model.run(where === 'pg' ? pg : ls, action, given);
      expect(result.status).toBe('failed');
      expect(result.message).toContain(message(world));
      expect(unchanged(world)).toEqual(before);
    });
  });

  test('an action that comes before config-changed tells what is missing, and the unit goes on', async () => {
    const world = await charmWorld({ landscape: 0, integrate: [] });
    world.model.integrate(`${app}:postgresql`, 'postgresql');
    while (!world.model.unitsOf(app).some((unit) => world.model.unit(unit).installed)) await world.sim.step();
    const [unit = ''] = world.model.unitsOf(app);
    expect(world.model.unit(unit).started).toBe(false);
    for (const name of Object.keys(actions)) {
      const result = await world.model.run(unit, name, name === 'create-restore-point' ? { name: 'a' } : {});
      expect(`${name}: ${result.status} ${result.message}`).not.toContain('exit status');
    }
    await world.settle();
    expect(world.model.unit(unit).started).toBe(true);
    expect(world.model.statusOf(unit).status).toBe('active');
  });
});

test('two planners at once: one restore runs, the other is told, and never begins by itself', async () => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    const world = await charmWorld({
      seed,
      postgresql: 2,
      prepare: (machine, principal) => {
        if (principal !== 'postgresql/1') return;
        const other = { label: '15/main', major: '15', running: true, inRecovery: false, systemIdentifier: '8' };
        machine.cluster = factsWithout('debian', other, null);
      },
    });
    const [one, two] = [world.beside('postgresql/0'), world.beside('postgresql/1')];
    // Both print a plan; those of the doubles have one id, which is as bad as it can be.
    for (const unit of [one, two]) await world.model.run(unit, 'restore');
    for (const unit of [one, two]) world.model.ask(unit, 'restore', { confirm: restoreId });
    await world.settle();
    const databases = [one, two].flatMap((unit) =>
      world.machineOf(unit).jobs.filter(({ id }) => id.includes('-database-')),
    );
    expect(databases, `seed ${seed}`).toHaveLength(1);
    expect(JSON.parse(world.model.bagOf(app, 'peers')['restore'] ?? '{}')).toMatchObject({ ended: true });
  }
});
