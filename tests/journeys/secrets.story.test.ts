import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newAgeKey } from '../setup/age.ts';
import type { LandscapeHost } from '../site/landscape-host.ts';
import type { SiteMachine } from '../site/machine.ts';
import { destination, makeCharmWorld, type CharmModel, type CharmWorld } from './charm-world.ts';

const application = 'landscape-backup';
/** What lies in service.conf, in key files and in the database on purpose, by its site. */
const kinds = [
  'password',
  'schema password',
  'broker password',
  'secret token',
  'cookie key',
  'phrase',
  'secret keys',
  'mirror keys',
  'license',
];

/** Credentials of a destination, by where they come from: a secret of the model's user, its next revision, an option. */
const given = {
  first: { 's3-access-key': 'planted-access-one', 's3-secret-key': 'planted/secret+one' },
  wrong: { 's3-access-key': 'planted-access-two', 's3-secret-key': 'planted secret, with blanks' },
  next: { 's3-access-key': 'planted-access-two', 's3-secret-key': 'planted/secret+two' },
  option: `-----BEGIN OPENSSH PRIVATE KEY-----\n${'cGxhbnRlZHByaXZhdGVrZXk'.repeat(3)}\n-----END OPENSSH PRIVATE KEY-----`,
};

/** What opens the repository: by choice in production's secret, and on the spare in one that only its restore names. */
const key = newAgeKey();
const identity = { 'encryption-identity': key.file };

let world: CharmWorld;
let production: CharmModel;
let spare: CharmModel;
let planted: readonly string[];
/** Everything that was said to anybody, with where. */
const said: { readonly where: string; readonly text: string }[] = [];
/** Every argument of every process that was ever seen. */
const titles = new Set<string>();
let watching = true;
let watcher: Promise<void>;

beforeAll(async () => {
  world = await makeCharmWorld();
  production = await world.addModel('production', { landscape: 1 });
  spare = await world.addModel('spare', { landscape: 1 });
  planted = await plantedSecrets();
  watcher = watchTitles();
  for (const model of [production, spare]) await model.deploy({ destination, 'restart-postgresql': true });
});

afterAll(async () => {
  watching = false;
  await watcher.catch(() => undefined);
  await world.close();
});

function machines(): readonly SiteMachine[] {
  const hosts: readonly (LandscapeHost | { readonly machine: SiteMachine })[] = [production, spare].flatMap(
    ({ landscapes, databases }) => [...landscapes, ...databases],
  );
  return hosts.map(({ machine }) => machine);
}

/** The texts above, and the verifiers by which PostgreSQL knows the passwords. */
async function plantedSecrets(): Promise<readonly string[]> {
  const texts = ['production', 'spare'].flatMap((site) => kinds.map((kind) => `${kind} of ${site}`));
  const verifiers = await Promise.all(
    [production, spare].map(async ({ database }) => {
      const rows = await database.sql('select rolpassword from pg_authid where rolpassword is not null');
      return rows.split('\n');
    }),
  );
  expect(verifiers.flat().length).toBeGreaterThanOrEqual(4);
  const [, body = ''] = given.option.split('\n');
  const credentials = [given.first, given.wrong, given.next].flatMap((each) => Object.values(each));
  return [...new Set([...texts, ...verifiers.flat(), ...credentials, body, key.identity.slice(16)])];
}

async function watchTitles(): Promise<void> {
  const script = `cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'`;
  while (watching) {
    for (const machine of machines()) {
      const { stdout } = await machine.execute(['sh', '-c', script]);
      for (const title of stdout.split('\n')) titles.add(title);
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** Runs an action and keeps everything that comes of it. */
async function act(
  model: CharmModel,
  unit: string,
  action: string,
  parameters: Readonly<Record<string, unknown>> = {},
) {
  const result = await model.act(unit, action, parameters);
  said.push({ where: `${model.name}: ${action} on ${unit}`, text: JSON.stringify(result) });
  return result;
}

/** Fails with every place that holds a secret; says the place and never the secret itself twice. */
function leaks(places: readonly { readonly where: string; readonly text: string }[]): readonly string[] {
  return places.flatMap(({ where, text }) => {
    const found = planted.filter(
      (secret) => text.includes(secret) || text.includes(JSON.stringify(secret).slice(1, -1)),
    );
    return found.map((secret) => `${where}: ${secret.slice(0, 24)}`);
  });
}

test('a whole life goes by, with its failures', { timeout: 1_200_000 }, async () => {
  const [pg, ls] = [production.unit, production.beside('landscape-server/0')];
  const { juju } = production;
  const uri = juju.addSecret('keys', { ...given.first, ...identity });
  juju.config(application, {
    's3-access-key': uri,
    's3-secret-key': uri,
    'sftp-private-key': given.option,
    'encryption-identity': uri,
    'encryption-recipients': key.recipient,
  });
  for (const unit of [pg, ls]) await production.until(unit, /it must be a secret that is granted to/, 60);
  juju.grantSecret(uri, application);
  juju.updateStatus();
  for (const unit of [pg, ls]) await production.until(unit, /not joined/, 60);
  for (const [unit, action] of [
    [pg, 'init'],
    [pg, 'backup'],
    [ls, 'backup'],
    [pg, 'check'],
    [ls, 'check'],
    [ls, 'list-backups'],
    [pg, 'status'],
  ] as const) {
    expect(await act(production, unit, action), `${action} on ${unit}`).toMatchObject({ status: 'completed' });
  }
  await act(production, ls, 'backup', { format: 'json' });

  // What is told of contents that break a rule is told without them, and the next ones arrive by themselves.
  juju.updateSecret(uri, { ...given.wrong, ...identity });
  await production.until(pg, /option s3-secret-key is \(secret\)/, 60);
  await act(production, pg, 'status');
  juju.updateSecret(uri, { ...given.next, ...identity });
  for (const unit of [pg, ls]) await production.until(unit, /^active/, 60);

  // A service.conf that can't be read holds its secrets on the very lines that are at fault.
  const { machine } = production.landscapes[0] ?? { machine: undefined };
  const conf = (await machine?.read('/etc/landscape/service.conf')) ?? '';
  await machine?.write('/etc/landscape/service.conf', conf.replace(/^password = .*$/m, '$&\n$&'));
  expect(await act(production, ls, 'backup')).toMatchObject({ status: 'failed' });
  production.juju.updateStatus(ls);
  await machine?.write('/etc/landscape/service.conf', conf);

  const [there, here] = [spare.unit, spare.beside('landscape-server/0')];
  await spare.juju.run('landscape-server/0', 'pause');
  await act(spare, there, 'restore', { confirm: 'no plan' });
  spare.juju.updateStatus(here);
  await spare.until(here, /not joined/, 60);
  const held = spare.juju.addSecret('backup-key', identity);
  spare.juju.grantSecret(held, application);
  await act(spare, there, 'restore', { identity: key.identity.slice(0, 15) });
  const plan = await act(spare, there, 'restore', { identity: held });
  const [, id = ''] = /confirm=(\w+)/.exec(JSON.stringify(plan)) ?? [];
  await act(spare, there, 'restore', { confirm: id, identity: held });
  await spare.until(there, /restored copy/, 120);
  await spare.until(here, /Landscape is paused/, 120);
  await spare.juju.run('landscape-server/0', 'resume');
  spare.juju.config(application, { 'encryption-recipients': key.recipient, 'encryption-confirmed': key.fingerprint });
  await act(spare, there, 'take-over');
  await act(spare, there, 'status', { format: 'json' });
  await act(spare, here, 'remove-old', { confirm: 'no plan' });
  await act(spare, there, 'abandon-restore');
});

test('what was planted is there to be found, so that finding nothing means something', async () => {
  const conf = (await production.landscapes[0]?.machine.read('/etc/landscape/service.conf')) ?? '';
  expect(leaks([{ where: 'service.conf', text: conf }]).length).toBeGreaterThan(3);
  for (const unit of [production.unit, production.beside('landscape-server/0')]) {
    const machine = await production.machineOf(unit);
    const path = `/var/lib/landscape-backup/${unit.replace('/', '-')}/credentials.yaml`;
    const kept = await machine.run(['sh', '-c', `stat -c '%a %U:%G' ${path} && cat ${path}`]);
    // The group is that of the cluster's owner; where there is no cluster nobody but root gets in.
    expect(kept).toMatch(unit === production.unit ? /^640 root:postgres\n/ : /^640 root:root\n/);
    expect(leaks([{ where: 'credentials', text: kept }]).length).toBe(4);
  }
  expect(said.length).toBeGreaterThan(12);
  expect([...titles].some((title) => title.includes('landscape-backup'))).toBe(true);
});

test('no secret is in a result, a status, a log of Juju or a databag', async () => {
  const places = [...said];
  for (const { juju, name } of [production, spare]) {
    for (const unit of juju.unitsOf(application)) {
      places.push({ where: `${name}: status of ${unit}`, text: JSON.stringify(juju.statusOf(unit)) });
      places.push({
        where: `${name}: log of ${unit}`,
        text: juju
          .logOf(unit)
          .map(({ text }) => text)
          .join('\n'),
      });
      places.push({ where: `${name}: bag of ${unit}`, text: JSON.stringify(juju.bagOf(unit, 'peers')) });
    }
    places.push({ where: `${name}: bag of all`, text: JSON.stringify(juju.bagOf(application, 'peers')) });
  }
  expect(leaks(places)).toEqual([]);
});

test('no secret is in the arguments of a process', () => {
  expect(leaks([...titles].map((title) => ({ where: title.slice(0, 60), text: title })))).toEqual([]);
});

test('no secret is in a manifest, a record or a name at the destination', async () => {
  const below = await readdir(world.share, { recursive: true, withFileTypes: true });
  const paths = below.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const told = paths.filter((path) => /\.(json|txt)$/.test(path));
  expect(told.length).toBeGreaterThan(8);
  const texts = await Promise.all(
    told.map(async (path) => ({ where: relative(world.share, path), text: await readFile(path, 'utf8') })),
  );
  expect(leaks([...texts, { where: 'names', text: paths.join('\n') }])).toEqual([]);
});

test('no secret is in a file or log of a machine that others than its owner can read', async () => {
  const roots = '/var/lib/landscape-backup /opt/landscape-backup /var/log/site /etc/systemd/system /tmp /run';
  // Programs are large and the same everywhere; what is told as a test's own secret lies in none of them.
  // The credentials' file is for one group besides, as the test above holds.
  const script = `find ${roots} -type f -perm /044 -size -4M 2>/dev/null | grep -v -e /versions/ -e '/credentials.yaml$' | while read -r file; do
    sed "s|^|$file: |" "$file"; done`;
  const places = await Promise.all(
    machines().map(async (machine) => ({ where: machine.name, text: await machine.run(['sh', '-c', script]) })),
  );
  expect(places.every(({ text }) => text.includes('settings.yaml'))).toBe(true);
  expect(leaks(places)).toEqual([]);
});
