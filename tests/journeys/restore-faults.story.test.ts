import { afterAll, beforeAll, expect, test } from 'vitest';
import { everyRow } from '../setup/landscape-databases.ts';
import { until } from '../setup/wait.ts';
import { destination, makeCharmWorld, type CharmModel, type CharmWorld } from './charm-world.ts';

let world: CharmWorld;
let production: CharmModel;
let spare: CharmModel;
let rows: readonly string[] = [];
let planId = '';

beforeAll(async () => {
  world = await makeCharmWorld();
  [production, spare] = await Promise.all([world.addModel('production'), world.addModel('spare')]);
  await production.deploy({ destination, 'restart-postgresql': true });
  await production.run(production.unit, 'init');
  await production.run(production.unit, 'backup');
  rows = await everyRow(production.database);
  await production.database.stop();
  await spare.deploy({ destination });
  ({ id: planId } = await spare.plan({ to: 'backup' }));
});

afterAll(async () => {
  await world.close();
});

/** Waits until the database's stage has touched the cluster. */
async function touched(): Promise<void> {
  const { machine } = spare.database;
  await until(
    'the data is being replaced',
    async () => {
      const found = await machine.execute([
        'sh',
        '-c',
        'ls -d /var/lib/postgresql/15/main/pgsql_tmp.landscape-backup-old-*',
      ]);
      return found.exitCode === 0;
    },
    90,
  );
}

const databaseJob = (attempt = 1) => `restore-1-${planId}-database-${attempt}-postgresql`;
const confirm = async () => await spare.run(spare.unit, 'restore', { confirm: planId });

test('an agent that dies in the hook that starts the stage starts it once', async () => {
  await confirm();
  await until('a hook runs', async () => spare.juju.statusOf(spare.unit).agent === 'executing', 60);
  spare.juju.killAgent(spare.unit);
  await touched();
  const jobs = await spare.database.machine.run(['sh', '-c', 'ls /var/lib/landscape-backup/*/jobs']);
  expect(jobs.match(/^restore-.*-database-.*$/gm)).toEqual([databaseJob()]);
});

test('a job that is killed leaves a restore that says so, and goes on with the same confirm', async () => {
  const { machine } = spare.database;
  await machine.run(['systemctl', 'kill', '-s', 'KILL', `landscape-backup-landscape-backup-0-job@${databaseJob()}`]);
  spare.juju.updateStatus();
  await spare.until(
    spare.unit,
    /^blocked: restore \w+ stopped at database on landscape-backup\/0: .* Next: .*juju run landscape-backup\/0 restore confirm=\w+ goes on; juju run landscape-backup\/0 abandon-restore confirm=\w+ goes back$/,
    60,
  );
  expect(await spare.database.isRunning()).toBe(false);

  expect(await confirm()).toContain('goes on');
});

test('a power cut in the middle leaves nothing half started, and the same confirm ends it', async () => {
  const { machine } = spare.database;
  const running = `/var/lib/landscape-backup/landscape-backup-0/jobs/${databaseJob(2)}/running.json`;
  await until('it runs again', async () => (await machine.execute(['test', '-e', running])).exitCode === 0, 60);
  await machine.powerCut();
  await machine.boot();
  expect(await spare.database.isRunning()).toBe(false);
  spare.juju.updateStatus();
  await spare.until(spare.unit, /^blocked: restore \w+ stopped at database/, 90);

  await confirm();

  await spare.until(spare.unit, /^blocked: 15\/main: restored copy of/, 120);
  expect(await everyRow(spare.database)).toEqual(rows);
});
