import { describe, expect, test } from 'vitest';
import { charmWorld, type CharmWorld } from './charm-world.ts';

const app = 'landscape-backup';
const keys = { 's3-access-key': 'planted-access', 's3-secret-key': 'planted-secret' };

/** A charm that keeps its backups in a bucket, joined to its repository. */
async function joined(version?: string): Promise<CharmWorld> {
  const world = await charmWorld({
    ...(version === undefined ? {} : { version }),
    config: { destination: 's3://bucket', 's3-region': 'x', 's3-access-key': 'old-access', 's3-secret-key': 'old-key' },
  });
  await world.model.run(world.beside('postgresql/0'), 'init', { wait: 0 });
  await world.settle();
  return world;
}

function nameIn(world: CharmWorld, uri: string): void {
  world.model.config(app, { 's3-access-key': uri, 's3-secret-key': uri });
}

/** What each unit keeps; an option that is empty is not kept. */
const credentials = ({ model, machineOf }: CharmWorld) =>
  model
    .unitsOf(app)
    .map((unit) => Object.fromEntries(Object.entries(machineOf(unit).credentials).filter(([, value]) => value !== '')));
const statuses = ({ model }: CharmWorld) => model.unitsOf(app).map((unit) => model.statusOf(unit));
const both = <T>(one: T): readonly T[] => [one, one];

describe('credentials in a secret of the user', () => {
  test('reach every unit, and a new revision takes their place by itself', async () => {
    const world = await joined();
    const uri = world.model.addSecret('keys', keys);
    world.model.grantSecret(uri, app);
    nameIn(world, uri);
    await world.settle();

    expect(credentials(world)).toEqual(both(keys));
    expect(statuses(world).map(({ status }) => status)).toEqual(both('active'));

    const next = { 's3-access-key': 'planted-access-2', 's3-secret-key': 'planted-secret-2' };
    world.model.updateSecret(uri, next);
    await world.settle();

    expect(credentials(world)).toEqual(both(next));
    for (const unit of world.model.unitsOf(app)) expect(world.model.hooksOf(unit)).toContain('secret-changed');
    // Once more, for what was read has to go on being followed.
    world.model.updateSecret(uri, keys);
    await world.settle();
    expect(credentials(world)).toEqual(both(keys));
  });

  test('that are not granted block with the command, and the old ones stay until they are', async () => {
    const world = await joined();
    const before = credentials(world);
    const settings = world.machineOf(world.beside('postgresql/0')).settings;
    const uri = world.model.addSecret('keys', keys);
    nameIn(world, uri);
    world.model.config(app, { 'retention-count': 3 });
    await world.settle();

    expect(statuses(world)).toEqual(
      both(
        expect.objectContaining({
          status: 'blocked',
          message: `option s3-access-key is ${uri}, it must be a secret that is granted to ${app}. Next: juju grant-secret ${uri} ${app}; until then the last good options are in force`,
        }),
      ),
    );
    expect(credentials(world)).toEqual(before);
    expect(world.machineOf(world.beside('postgresql/0')).settings).toBe(settings);

    world.model.grantSecret(uri, app);
    world.model.updateStatus();
    await world.settle();
    expect(statuses(world).map(({ status }) => status)).toEqual(both('active'));
    expect(credentials(world)).toEqual(both(keys));
  });

  test.each([
    ['are nowhere', (_world: CharmWorld) => 'secret:d0000000000000000000', 'and there is none'],
    [
      'lack a key',
      ({ model }: CharmWorld) => {
        const uri = model.addSecret('keys', { 's3-access-key': 'planted-access' });
        model.grantSecret(uri, app);
        return uri;
      },
      'it must be a secret with the key s3-secret-key, and it has only s3-access-key',
    ],
    ['are no URI', (_world: CharmWorld) => 'secret:hunter2', 'is (secret), it must be secret:<id>'],
  ])('that %s block, and the old ones stay', async (_what, prepare, sentence) => {
    const world = await joined();
    const before = credentials(world);
    nameIn(world, prepare(world));
    await world.settle();

    for (const { status, message } of statuses(world)) {
      expect(status).toBe('blocked');
      expect(message).toContain(sentence);
      expect(message).toMatch(/Next: juju .*; until then the last good options are in force$/);
    }
    expect(credentials(world)).toEqual(before);
  });

  test('whose contents break the rule of the option are told without being shown', async () => {
    const world = await joined();
    const uri = world.model.addSecret('keys', { ...keys, 's3-secret-key': 'planted with blanks' });
    world.model.grantSecret(uri, app);
    nameIn(world, uri);
    await world.settle();

    for (const unit of world.model.unitsOf(app)) {
      const { message } = world.model.statusOf(unit);
      expect(message).toContain('option s3-secret-key is (secret), it must be empty, or the secret key');
      expect(message + JSON.stringify(world.model.logOf(unit))).not.toContain('planted');
    }
  });

  test('on Juju 2.9 block with what to do, where the values themselves are taken', async () => {
    const world = await joined('2.9.49');
    const before = credentials(world);
    world.model.config(app, { 's3-secret-key': 'secret:d0000000000000000000' });
    await world.settle();

    for (const { status, message } of statuses(world)) {
      expect(status).toBe('blocked');
      expect(message).toContain('Juju 2.9.49 has no secrets of users, 3.3 has. Next: juju config');
    }
    expect(credentials(world)).toEqual(before);
    world.model.config(app, { 's3-secret-key': 'another-key' });
    await world.settle();
    expect(credentials(world)).toEqual(both({ 's3-access-key': 'old-access', 's3-secret-key': 'another-key' }));
  });
});
