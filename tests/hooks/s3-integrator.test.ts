import { describe, expect, test } from 'vitest';
import { S3Integrator } from '../doubles/s3-integrator.ts';
import { charmWorld, type CharmWorld } from './charm-world.ts';

const app = 'landscape-backup';
const keys = { 'access-key': 'planted-access', 'secret-key': 'planted-secret' };
const ownKeys = { 's3-access-key': 'planted-access', 's3-secret-key': 'planted-secret' };
const certificate = ['-----BEGIN CERTIFICATE-----', 'MIIBszCCAVmgAwIBAgIU', '-----END CERTIFICATE-----'].join('\n');

interface Told {
  readonly form: 'v0' | 'v1';
  /** What the store's charm was told. */
  readonly store?: Readonly<Record<string, string>>;
  readonly isWithKeys?: boolean;
  readonly config?: Readonly<Record<string, string>>;
  readonly version?: string;
  readonly seed?: number;
}

/** Our charm and the store's in one model, not yet related. */
async function beside({
  form,
  store = { bucket: 'vault', region: 'eu' },
  isWithKeys = true,
  config = {},
  ...options
}: Told) {
  const world = await charmWorld({ ...options, landscape: 1, config: { destination: '', ...config } });
  const integrator = new S3Integrator(world.model, form, store);
  if (isWithKeys) integrator.giveKeys(keys);
  await world.settle();
  return { world, integrator };
}

async function related(told: Told) {
  const made = await beside(told);
  made.world.model.integrate(`${app}:s3-parameters`, made.integrator.name);
  await made.world.settle();
  return made;
}

async function join(world: CharmWorld): Promise<void> {
  await world.model.run(world.beside('postgresql/0'), 'init', { wait: 0 });
  await world.settle();
}

const statuses = ({ model }: CharmWorld) =>
  model.unitsOf(app).map((unit) => `${model.statusOf(unit).status}: ${model.statusOf(unit).message}`);

/** What each unit keeps; empty options left out. */
const kept = ({ model, machineOf }: CharmWorld) =>
  model.unitsOf(app).map((unit) => {
    const { settings = '', credentials } = machineOf(unit);
    const lines = settings
      .split('\n')
      .filter((line) => /^(destination|s3-.*): "."*./.test(line) && !line.endsWith(': ""'));
    return { lines, credentials: Object.fromEntries(Object.entries(credentials).filter(([, value]) => value !== '')) };
  });

const both = <T>(one: T): readonly T[] => [one, one];
const inForce = '; until then the last good options are in force';

describe.each(['v0', 'v1'] as const)('a store that s3-integrator names, keys as in %s', (form) => {
  test.each([1, 2, 3, 4, 5])('is all that a unit needs, in whatever order hooks come (%i)', async (seed) => {
    const store = {
      bucket: 'vault',
      path: '/landscape/',
      endpoint: 'https://s3.example.com/',
      region: 'eu',
      's3-uri-style': 'path',
      'tls-ca-chain': JSON.stringify([Buffer.from(certificate).toString('base64')]),
    };
    const { world } = await related({ form, store, seed });

    expect(kept(world)).toEqual(
      both({
        lines: [
          'destination: "s3://vault/landscape"',
          `s3-ca: ${JSON.stringify(certificate)}`,
          's3-endpoint: "https://s3.example.com/"',
          's3-region: "eu"',
          's3-uri-style: "path"',
        ],
        credentials: ownKeys,
      }),
    );
    expect(statuses(world)).toEqual(
      both(expect.stringContaining('not joined to a repository at s3://vault/landscape')),
    );
    await join(world);
    expect(statuses(world)).toEqual(both(expect.stringMatching(/^active/)));
    const said = JSON.stringify(world.model.unitsOf(app).map((unit) => world.model.logOf(unit)));
    expect(said + JSON.stringify(world.model.bagOf(app, 'peers'))).not.toContain('planted');
  });

  test('is left for new keys as soon as they are said, and no more than keys change', async () => {
    const { world, integrator } = await related({ form });
    await join(world);
    const before = kept(world);
    const next = { 'access-key': 'planted-access-2', 'secret-key': 'planted-secret-2' };
    integrator.giveKeys(next);
    await world.settle();

    expect(kept(world)).toEqual(
      before.map(({ lines }) => ({
        lines,
        credentials: { 's3-access-key': 'planted-access-2', 's3-secret-key': 'planted-secret-2' },
      })),
    );
    expect(statuses(world)).toEqual(both(expect.stringMatching(/^active/)));
    integrator.giveKeys(keys);
    await world.settle();
    expect(kept(world)).toEqual(before);
  });

  test('is waited for while it says nothing, then too little; the old options stay in force', async () => {
    const { world, integrator } = await related({ form, isWithKeys: false });
    expect(statuses(world)).toEqual(
      both(
        `waiting: the relation s3-parameters does not say access-key and secret-key yet. Next: juju status s3-integrator tells what it lacks${inForce}`,
      ),
    );
    integrator.giveKeys(keys);
    await world.settle();
    expect(kept(world)).toEqual(
      both({ lines: ['destination: "s3://vault"', 's3-region: "eu"'], credentials: ownKeys }),
    );
  });

  test('that names no bucket is no place, and a bucket that nobody chose is none', async () => {
    const { world } = await related({ form, store: { region: 'eu' } });
    expect(statuses(world)).toEqual(
      both(
        `blocked: the relation s3-parameters names no bucket. Next: juju config s3-integrator bucket=<bucket>, or juju config ${app} destination=s3://<bucket>/<folder>${inForce}`,
      ),
    );
    world.model.config(app, { destination: 's3://vault/folder' });
    await world.settle();
    expect(kept(world)).toEqual(
      both({ lines: ['destination: "s3://vault/folder"', 's3-region: "eu"'], credentials: ownKeys }),
    );
    world.model.config(app, { destination: '' });
    world.model.config('s3-integrator', { bucket: 'other' });
    await world.settle();
    expect(kept(world).map(({ lines }) => lines)).toEqual(both(['destination: "s3://other"', 's3-region: "eu"']));
  });

  test('that goes leaves no keys behind, and the status says what is lost', async () => {
    const { world } = await related({ form });
    await join(world);
    world.model.removeRelation(`${app}:s3-parameters`, 's3-integrator');
    await world.settle();

    expect(kept(world)).toEqual(both({ lines: [], credentials: {} }));
    expect(statuses(world)).toEqual(
      both(
        `blocked: the option destination is empty, nothing is kept. Next: juju config ${app} destination=/srv/backup (a directory that all units share), or juju integrate ${app}:s3-parameters s3-integrator`,
      ),
    );
  });

  const disagreements: readonly (readonly [string, Readonly<Record<string, string>>, string, string])[] = [
    ['a directory', { destination: '/srv/backup' }, 'option destination is file:///srv/backup', 'names s3://vault/f'],
    ['another bucket', { destination: 's3://mine/f' }, 'option destination is s3://mine/f', 'names s3://vault/f'],
    ['another folder', { destination: 's3://vault/g' }, 'option destination is s3://vault/g', 'names s3://vault/f'],
    ['no folder', { destination: 's3://vault' }, 'option destination is s3://vault', 'names s3://vault/f'],
    ['another store', { 's3-endpoint': 'https://b' }, 'option s3-endpoint is "https://b"', 'says endpoint "https://a"'],
    ['another region', { 's3-region': 'us' }, 'option s3-region is "us"', 'says region "eu"'],
    ['another key', { 's3-secret-key': 'mine-mine' }, 'option s3-secret-key is (secret)', 'says secret-key another'],
  ];
  test.each(disagreements)('and options that say %s: neither wins, and the status names both', async (...told) => {
    const [, config, ours, theirs] = told;
    const [option = ''] = Object.keys(config);
    const store = { bucket: 'vault', path: 'f', endpoint: 'https://a', region: 'eu' };
    const { world, integrator } = await beside({ form, store, config });
    const before = kept(world);
    world.model.integrate(`${app}:s3-parameters`, integrator.name);
    await world.settle();

    expect(statuses(world)).toEqual(
      both(
        `blocked: ${ours}, and the relation s3-parameters ${theirs}: they must be the same. Next: juju config ${app} --reset ${option}, or juju remove-relation ${app}:s3-parameters s3-integrator${inForce}`,
      ),
    );
    expect(kept(world)).toEqual(before);

    world.model.config(app, { [option]: undefined });
    await world.settle();
    expect(kept(world).map(({ lines }) => lines[0])).toEqual(both('destination: "s3://vault/f"'));
  });

  test('and options that say the same, or what it leaves open, count together', async () => {
    const config = { destination: 's3://vault/folder', 's3-endpoint': 'https://a/', 's3-region': 'eu', ...ownKeys };
    const { world } = await related({ form, store: { bucket: 'vault', endpoint: 'https://a' }, config });

    expect(kept(world)).toEqual(
      both({
        lines: ['destination: "s3://vault/folder"', 's3-endpoint: "https://a/"', 's3-region: "eu"'],
        credentials: ownKeys,
      }),
    );
  });

  test.each([
    ['bucket', 'a', 'names s3://a, which is no destination: the bucket must be 3 to 255'],
    ['path', '../x', 'names s3://vault/../x, which is no destination: the folder in the bucket may hold'],
    ['endpoint', 'store', 'says endpoint "store", it must be empty, or the URL of the store without bucket (no URL'],
    ['region', 'a region', 'says region "a region", it must be empty, or the name of a region (a region is a word'],
    ['s3-uri-style', 'both', 'says s3-uri-style "both", it must be empty, path or host (neither)'],
    ['tls-ca-chain', '["x"]', 'says tls-ca-chain "x", it must be empty, or certificates as PEM (it holds no whole'],
  ])('that says a bad %s is told by that name, with the command for its own charm', async (name, value, told) => {
    const { world } = await related({ form, store: { bucket: 'vault', region: 'eu', [name]: value } });

    for (const status of statuses(world)) {
      expect(status).toContain(`blocked: the relation s3-parameters ${told}`);
      expect(status).toContain('Next: juju config s3-integrator ');
      expect(status).toContain(name);
    }
    expect(kept(world)).toEqual(both({ lines: [], credentials: {} }));
  });

  test('whose keys are none is told without showing them', async () => {
    const { world, integrator } = await related({ form, isWithKeys: false });
    integrator.giveKeys({ ...keys, 'secret-key': 'planted with blanks' });
    await world.settle();

    expect(statuses(world)).toEqual(
      both(
        `blocked: the relation s3-parameters says secret-key (secret), it must be empty, or the secret key (it holds blanks or characters that no key has). Next: give s3-integrator the right one${inForce}`,
      ),
    );
  });
});

test('only the leader asks, for what the option names; without one only the first form is given a name at all', async () => {
  const bags: Record<string, unknown> = {};
  for (const form of ['v0', 'v1'] as const) {
    for (const destination of ['', 's3://mine/folder']) {
      const { world } = await related({ form, store: { region: 'eu' }, config: { destination } });
      bags[`${form} ${destination}`] = world.model.bagOf(app, 's3-parameters');
    }
  }
  const always = { 'lib-version': '1.0', 'requested-secrets': '["access-key","secret-key"]' };
  expect(bags).toEqual({
    'v0 ': { ...always, bucket: expect.stringMatching(/^relation-\d+$/) },
    'v0 s3://mine/folder': { ...always, bucket: 'mine', path: 'folder' },
    'v1 ': always,
    'v1 s3://mine/folder': { ...always, bucket: 'mine', path: 'folder' },
  });
});

test('on Juju 2.9 keys in the open are taken, and another leader goes on with them', async () => {
  const { world, integrator } = await related({ form: 'v0', version: '2.9.49' });
  await join(world);
  world.model.moveLeadership(app);
  integrator.giveKeys({ ...keys, 'secret-key': 'planted-3' });
  await world.settle();

  expect(kept(world)).toEqual(
    both({
      lines: ['destination: "s3://vault"', 's3-region: "eu"'],
      credentials: { ...ownKeys, 's3-secret-key': 'planted-3' },
    }),
  );
  expect(statuses(world)).toEqual(both(expect.stringMatching(/^active/)));
});

test('a secret that is not granted is waited for', async () => {
  const { world, integrator } = await beside({ form: 'v1' });
  const secrets = world.model.state.secrets;
  world.model.integrate(`${app}:s3-parameters`, integrator.name);
  await world.settle();
  const [secret] = secrets.values();
  secret?.grants.clear();
  world.model.updateStatus();
  // The store's charm grants it again in its own hook: ours has to look first.
  const [unit = ''] = world.model.unitsOf(app);
  await world.model.run(unit, 'status');
  expect(world.model.statusOf(unit).message).toMatch(
    /^the relation s3-parameters names secret:\w+, a secret that is not granted yet\. Next: juju status s3-integrator/,
  );
  await world.settle();
  world.model.updateStatus();
  await world.settle();
  expect(statuses(world)).toEqual(both(expect.stringContaining('not joined to a repository')));
});
