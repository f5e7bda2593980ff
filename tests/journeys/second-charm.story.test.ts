import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { everyRow } from '../setup/landscape-databases.ts';
import { startSshd, type Sshd } from '../setup/sshd.ts';
import { until } from '../setup/wait.ts';
import { makeCharmWorld, type CharmModel, type CharmWorld } from './charm-world.ts';

/** A directory of production's own machine. */
const first = '/srv/first';
const due = 'landscape-backup-landscape-backup-0-due';

let sshd: Sshd;
let world: CharmWorld;
let production: CharmModel;
let spare: CharmModel;
/** The options that name the SFTP server, and get in. */
let second: Readonly<Record<string, string>>;

beforeAll(async () => {
  sshd = await startSshd();
  const path = join(sshd.folder, 'backup');
  await mkdir(path);
  await sshd.own(path);
  second = sshd.options(path);
  world = await makeCharmWorld();
  [production, spare] = await Promise.all([world.addModel('production'), world.addModel('spare')]);
});

afterAll(async () => {
  await world.close();
  await sshd.stop();
});

/** The same options for the second destination. */
function asSecond({ destination = '', ...access }: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const named = Object.entries(access).map(([name, value]) => [`destination-2-${name}`, value] as const);
  return { 'destination-2': destination, ...Object.fromEntries(named) };
}

async function write(title: string): Promise<void> {
  await production.database.sql(`update account set title = '${title}'`, 'landscape-standalone-main');
  await production.archive();
}

test('an SFTP server as second destination is filled by nobody’s hand, and the status says that it has everything', async () => {
  const { database } = production;
  await database.machine.run(['install', '-d', '-o', 'postgres', '-g', 'postgres', '-m', '2770', first]);
  await production.deploy({ destination: first, ...asSecond(second), 'restart-postgresql': true });
  const { unit } = production;
  await production.run(unit, 'init');
  await production.run(unit, 'backup');

  // What is archived while it is filled follows with the next minute.
  await until(
    'the second has everything',
    async () => {
      await database.machine.fireTimer(due);
      const said = await production.run(unit, 'status');
      return said.includes(`the second destination ${second['destination'] ?? ''} has everything`);
    },
    120,
  );
});

test('when the first is lost for good WAL goes to the second, and the status says so', async () => {
  const { database, unit, juju } = production;
  await write('while both are there');

  await database.machine.run(['rm', '-r', first]);
  await write('the first is lost');

  juju.updateStatus(unit);
  await production.until(unit, /WAL goes to the second destination/, 60);
});

test('a spare that has the second as its destination restores every row', async () => {
  const rows = await everyRow(production.database);
  await (await production.machineOf(production.unit)).powerCut();

  await spare.deploy(second);
  await spare.restore('production', { to: 'end' });

  expect(await everyRow(spare.database)).toEqual(rows);
});
