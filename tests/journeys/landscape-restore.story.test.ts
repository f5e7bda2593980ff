import { afterAll, beforeAll, expect, test } from 'vitest';
import { everyRow } from '../setup/landscape-databases.ts';
import { until } from '../setup/wait.ts';
import { landscapeActions, landscapeHooks, type LandscapeHost } from '../site/landscape-host.ts';
import { contents } from './contents.ts';
import { destination, makeCharmWorld, type CharmModel, type CharmWorld } from './charm-world.ts';
import { fitsOf, kept } from './landscape-proof.ts';

let world: CharmWorld;
let production: CharmModel;
let spare: CharmModel;
let rows: readonly string[] = [];
let planId = '';
/** The spare before anybody restored it. */
let before: { readonly rows: readonly string[]; readonly files: string };

const principal = 'landscape-server/0';
const hostOf = ({ landscapes }: CharmModel): LandscapeHost => {
  const [host] = landscapes;
  if (host === undefined) throw new Error('there is no Landscape');
  return host;
};
/** Every file below Landscape's folders, with owner, mode and digest; what it makes by itself is left out. */
const everyFile = async ({ machine }: LandscapeHost) =>
  await machine.run([
    'sh',
    '-c',
    `find /etc/landscape /etc/default/landscape-server /var/lib/landscape-server /var/lib/landscape -not -path '*/hash-id-databases/*' | sort |
     while read -r path; do echo "$path $(stat -c '%F %U:%G %a' "$path") $([ -f "$path" ] && sha256sum <"$path")"; done`,
  ]);

beforeAll(async () => {
  world = await makeCharmWorld();
  [production, spare] = await Promise.all([
    world.addModel('production', { landscape: 1 }),
    world.addModel('spare', { landscape: 1 }),
  ]);
  await production.deploy({ destination, 'restart-postgresql': true });
  await production.run(production.unit, 'init');
  await production.run(production.unit, 'backup');
  await production.run(production.beside(principal), 'backup');
  rows = await everyRow(production.database);
  await production.database.stop();
});

afterAll(async () => {
  await world.close();
});

test('a restore is refused while Landscape runs, and nothing is touched', async () => {
  await spare.deploy({ destination });
  const plan = await spare.plan();
  planId = plan.id;
  expect(plan.text).toContain(`${principal} (${spare.beside(principal)}) gets the files of production/${principal}`);

  const refused = await spare.act(spare.unit, 'restore', { confirm: planId });

  expect(refused.message).toMatch(
    /^Landscape still runs on landscape-server\/0; nothing was changed\. Next: juju run landscape-server\/0 pause/,
  );
  expect(await hostOf(spare).running()).not.toEqual([]);
});

test('fenced, nobody starts Landscape in the middle of it: not its charm, not a power cut', async () => {
  const host = hostOf(spare);
  before = { rows: await everyRow(spare.database), files: await everyFile(host) };
  const archive = await contents(world.share, /\/guests(\/|$)/);
  await spare.act(principal, 'pause');
  spare.juju.updateStatus();
  await until('the pause is known', async () => {
    const { status } = await spare.act(spare.unit, 'restore', { confirm: planId });
    return status === 'completed';
  });
  await spare.until(spare.beside(principal), /(database|files) waits/, 90);

  await landscapeHooks['config-changed'](host.machine);
  await landscapeHooks['leader-elected'](host.machine);
  await landscapeActions.resume(host.machine).catch(() => undefined);
  expect(await host.running()).toEqual([]);
  await host.machine.powerCut();
  await host.machine.boot();
  expect(await host.running()).toEqual([]);

  await spare.until(spare.unit, /^blocked: 15\/main: restored copy of \S+ of the model production/, 120);
  await spare.until(spare.beside(principal), /Next: juju run landscape-server\/0 resume$/, 60);
  expect(await everyRow(spare.database)).toEqual(rows);
  expect(await contents(world.share, /\/guests(\/|$)/)).toEqual(archive);
});

test('after it the files are production’s, passwords and connections the spare’s, and Landscape runs', async () => {
  const host = hostOf(spare);
  expect(await kept(host)).toEqual(await kept(hostOf(production)));

  await spare.act(principal, 'resume');
  spare.juju.updateStatus();

  expect(await host.running()).not.toEqual([]);
  const identity = await spare.database.sql('select uuid from server_identity', 'landscape-standalone-main');
  expect(await fitsOf(host)).toEqual({
    passwords: ['landscape', 'relation-9'],
    connected: [spare.database.storesHost],
    hashIds: [identity],
  });
  await spare.until(
    spare.beside(principal),
    /^active: restored by plan \w+; its files are not kept before the take-over/,
  );
});

test('abandon-restore puts rows and files of all units back', async () => {
  await spare.act(principal, 'pause');
  expect(await spare.run(spare.unit, 'abandon-restore')).toMatch(/would be undone[\s\S]*Nothing has been changed yet/);

  await spare.run(spare.unit, 'abandon-restore', { confirm: planId });

  await spare.until(spare.unit, /^blocked: not joined to a repository/, 90);
  await spare.until(spare.beside(principal), /^blocked: not joined to a repository/, 90);
  expect(await everyRow(spare.database)).toEqual(before.rows);
  expect(await everyFile(hostOf(spare))).toEqual(before.files);
  expect((await fitsOf(hostOf(spare))).passwords).toEqual(['landscape', 'relation-9']);
});
