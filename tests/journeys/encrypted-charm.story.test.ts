import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newAgeKey } from '../setup/age.ts';
import { everyRow } from '../setup/landscape-databases.ts';
import { destination, makeCharmWorld, type CharmModel, type CharmWorld } from './charm-world.ts';
import { kept } from './landscape-proof.ts';

const application = 'landscape-backup';
const principal = 'landscape-server/0';
const key = newAgeKey();
const body = key.identity.slice('AGE-SECRET-KEY-1'.length);
const strange = newAgeKey();
/** On a machine, where only root gets in. */
const keyFile = '/root/backup-key.txt';

let world: CharmWorld;
let production: CharmModel;
let spare: CharmModel;

beforeAll(async () => {
  world = await makeCharmWorld();
  [production, spare] = await Promise.all([
    world.addModel('production', { landscape: 1 }),
    world.addModel('spare', { landscape: 1 }),
  ]);
});

afterAll(async () => {
  await world.close();
});

const hostOf = ({ landscapes }: CharmModel) => {
  const [host] = landscapes;
  if (host === undefined) throw new Error('there is no Landscape');
  return host;
};

/** The paths of all objects, with their first bytes. */
async function objects(): Promise<readonly (readonly [path: string, first: string])[]> {
  const entries = await readdir(world.share, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  return await Promise.all(
    paths.map(async (path) => [path, (await readFile(path)).subarray(0, 21).toString('latin1')] as const),
  );
}

test('nothing is kept before somebody has compared the recipient, and the status says what to compare and to set', async () => {
  await production.deploy({ destination, 'restart-postgresql': true, 'encryption-recipients': key.recipient });
  const { unit } = production;
  for (const each of [unit, production.beside(principal)]) {
    await production.until(each, /^blocked: option encryption-recipients holds age1\w+, which nobody has confirmed/);
    expect(production.status(each)).toContain(
      `Compare with what age-keygen -y prints for the identity that you keep; if it ends the same, juju config landscape-backup encryption-confirmed='${key.fingerprint}'`,
    );
  }
  expect(await production.act(unit, 'init')).toMatchObject({ status: 'failed' });
  expect(await objects()).toEqual([]);

  production.juju.config(application, { 'encryption-confirmed': key.fingerprint });

  await production.until(unit, /^blocked: not joined to a repository/);
});

test('production keeps everything encrypted with the recipient alone', async () => {
  const { unit } = production;
  await production.run(unit, 'init');
  await production.run(unit, 'backup');
  await production.run(production.beside(principal), 'backup');

  expect(await production.run(unit, 'check')).toMatch(/as confirmed; no identity is at hand/);
  production.juju.updateStatus();
  for (const each of [unit, production.beside(principal)]) await production.until(each, /^active/, 60);
  const secret = (await objects()).filter(([path]) => !/\.json$|README\.txt$|\.history\.zst$/.test(path));
  expect(secret.length).toBeGreaterThan(3);
  for (const each of secret) expect(each).toEqual([expect.stringMatching(/\.age(\.\d+)?$/), 'age-encryption.org/v1']);
});

test('check opens what is stored with an identity that it is given, on every unit, and tells another’s', async () => {
  const secret = production.juju.addSecret('strange', { 'encryption-identity': strange.file });
  production.juju.grantSecret(secret, application);
  for (const [unit, host] of [
    [production.unit, production.database],
    [production.beside(principal), hostOf(production)],
  ] as const) {
    await host.machine.write(keyFile, key.file, { mode: 0o600 });
    expect(await production.run(unit, 'check', { identity: keyFile })).toMatch(/opened with the identity/);
    await host.machine.run(['rm', keyFile]);
    const wrong = await production.act(unit, 'check', { identity: secret });
    expect(wrong).toMatchObject({ status: 'failed' });
    expect(JSON.stringify(wrong.results)).toMatch(new RegExp(`${key.fingerprint}.*${strange.fingerprint}`));
  }
});

test(
  'a spare that keeps no key restores with a secret that it may read, and is refused without before anything stops',
  { timeout: 1_200_000 },
  async () => {
    await spare.deploy({ destination });
    const { unit, juju, database } = spare;
    const before = await everyRow(database);
    await juju.run(principal, 'pause');
    juju.updateStatus();

    const none = await spare.act(unit, 'restore');
    expect(none.message).toMatch(/is encrypted, and no identity is at hand.* identity=secret:<id>/);
    const identity = juju.addSecret('backup-key', { 'encryption-identity': key.file });
    const ungranted = await spare.act(unit, 'restore', { identity });
    expect(ungranted.message).toContain(`Next: juju grant-secret ${identity} ${application}`);
    juju.grantSecret(identity, application);
    const { text, id: confirm } = await spare.plan({ identity });
    expect(text).toMatch(/restore confirm=\w+ identity=secret:\w+/);
    expect(await spare.act(unit, 'restore', { confirm })).toMatchObject({
      status: 'failed',
      message: expect.stringContaining('no identity is at hand'),
    });
    expect(await everyRow(database)).toEqual(before);

    await spare.run(unit, 'restore', { confirm, identity });

    await spare.until(unit, /^blocked: 15\/main: restored copy of \S+ of the model production/, 240);
    await spare.until(spare.beside(principal), /Next: juju run landscape-server\/0 resume$/, 120);
    expect(await everyRow(database)).toEqual(await everyRow(production.database));
    expect(await kept(hostOf(spare))).toEqual(await kept(hostOf(production)));
  },
);

test('the identity lies nowhere any more, on no machine and in no bag', async () => {
  const machines = [production, spare].flatMap(({ landscapes, databases }) =>
    [...landscapes, ...databases].map(({ machine }) => machine),
  );
  const found = await Promise.all(
    machines.map(
      async (machine) =>
        await machine.run(['sh', '-c', `grep -rlF ${body} /var/lib /etc /opt /tmp /run /root /var/log || true`]),
    ),
  );
  expect(found).toEqual(found.map(() => ''));
  for (const { juju } of [production, spare]) {
    for (const member of [application, ...juju.unitsOf(application)])
      expect(JSON.stringify(juju.bagOf(member, 'peers'))).not.toContain(body);
  }
});
