/**
 * The story of the charm: two models with PostgreSQL and Landscape, real processes, real clusters, simulated machines and Juju.
 *
 * Production is kept while it is written to; a second is noted, a disaster is committed; a spare is restored to that second.
 * Then everything is compared: rows, files, the spare's passwords, where its Landscape connects to, production's archive.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isSecretOption } from '../../src/core/settings.ts';
import { contents } from '../journeys/contents.ts';
import { destination, makeCharmWorld, type CharmModel, type CharmWorld } from '../journeys/charm-world.ts';
import { fitsOf, kept } from '../journeys/landscape-proof.ts';
import type { AgeKey } from '../setup/age.ts';
import type { DestinationOptions } from '../setup/destinations.ts';
import { until } from '../setup/wait.ts';
import { everyRow } from '../setup/landscape-databases.ts';
import type { PostgresqlHost } from '../site/postgresql-host.ts';
import { startServer, type Kind, type Server } from './destination.ts';
import { bold, quote, say, title } from './narrator.ts';

const landscape = 'landscape-server/0';
const guests = /\/guests(\/|$)/;

/** Shows what an operator types and what Juju answers. */
async function run(
  model: CharmModel,
  unit: string,
  action: string,
  parameters: Readonly<Record<string, string>> = {},
): Promise<string> {
  const given = Object.entries(parameters).map(([name, value]) => ` ${name}=${value}`);
  say(`   $ juju run -m ${model.name} ${unit} ${action}${given.join('')}`);
  const text = await model.run(unit, action, parameters);
  quote(text);
  return text;
}

/** The lines of our units in `juju status`. */
function statusLines(model: CharmModel): string {
  return [model.unit, model.beside(landscape)].map((unit) => `${unit.padEnd(20)} ${model.status(unit)}`).join('\n');
}

function showStatus(model: CharmModel): void {
  say(`   $ juju status -m ${model.name}`);
  quote(statusLines(model));
}

async function deploy(model: CharmModel, config: Readonly<Record<string, string | boolean>>): Promise<void> {
  const shown = (name: string, value: string) => (isSecretOption(name) ? '…' : value);
  const given = Object.entries(config).map(([name, value]) => ` --config ${name}="${shown(name, String(value))}"`);
  say(`   $ juju deploy -m ${model.name} ./landscape-backup.charm${given.join('')}`);
  say(`   $ juju integrate -m ${model.name} landscape-backup:postgresql postgresql`);
  say(`   $ juju integrate -m ${model.name} landscape-backup:landscape landscape-server`);
  await model.deploy(config);
}

/** Commits rows until it is told to stop. */
function keepWriting(database: PostgresqlHost): { stop(): Promise<number> } {
  let going = true;
  let committed = 0;
  const working = (async () => {
    while (going) {
      await database.sql(
        'insert into activity (computer_id, summary) select i, md5(random()::text) from generate_series(1, 50) i',
        'landscape-standalone-resource-1',
      );
      committed += 1;
      await sleep(50);
    }
  })();
  return {
    stop: async () => {
      going = false;
      await working;
      return committed;
    },
  };
}

/** Gives back what ends when the spare is up: nothing of production waits for it. */
async function deployBoth(
  production: CharmModel,
  spare: CharmModel,
  options: DestinationOptions,
  key: AgeKey | undefined,
): Promise<{ readonly spareIsUp: Promise<void> }> {
  title('Two models, production and a spare: the charm beside PostgreSQL and Landscape Server');
  const encryption =
    key === undefined ? {} : { 'encryption-recipients': key.recipient, 'encryption-confirmed': key.fingerprint };
  const deploying = deploy(production, { ...options, ...encryption, 'restart-postgresql': true });
  const spareIsUp = (async () => {
    await deploy(spare, options);
    await spare.until(spare.unit, /not joined/, 120);
  })();
  spareIsUp.catch(() => undefined); // Awaited where the spare is needed.
  await deploying;
  await production.until(production.unit, /not joined/);
  showStatus(production);
  say('   the spare comes up meanwhile');
  return { spareIsUp };
}

async function keepProduction(production: CharmModel): Promise<void> {
  title('A repository, and a backup while Landscape goes on writing');
  await run(production, production.unit, 'init');
  const writer = keepWriting(production.database);
  await run(production, production.unit, 'backup');
  const transactions = await writer.stop();
  say(`   ${transactions} transactions were committed meanwhile`);
  say("   Landscape's files are kept by the timer, without Juju:");
  const beside = await production.machineOf(production.beside(landscape));
  await beside.fireTimer(dueOf(production.beside(landscape)));
  production.juju.updateStatus();
  await production.until(production.beside(landscape), /^active: files: \d+ kept/);
  showStatus(production);
}

function dueOf(unit: string): string {
  return `landscape-backup-${unit.replace('/', '-')}-due`;
}

/** Notes a second, ruins the databases after it, and lets the rest be archived. */
async function disaster({ database, ...production }: CharmModel): Promise<{ second: string; rows: readonly string[] }> {
  title('A second is noted, then the disaster');
  const rows = await everyRow(database);
  const noted = await database.sql('select clock_timestamp()');
  const second = new Date(Date.parse(noted) + 1).toISOString();
  say(`   at ${second} there are ${rows.length} rows`);
  await sleep(50);
  await database.sql('delete from computer; drop table server_identity cascade', 'landscape-standalone-main');
  await database.sql('drop table package', 'landscape-standalone-package');
  say('   committed: delete from computer; drop table server_identity; drop table package');
  const machine = await production.machineOf(production.beside('postgresql/0'));
  for (let minute = 0; minute < 2; minute += 1) {
    await database.sql('select pg_switch_wal()');
    await machine.fireTimer(dueOf(production.beside('postgresql/0')));
  }
  production.juju.updateStatus();
  await production.until(production.beside('postgresql/0'), /can restore to any second/);
  quote(production.status(production.beside('postgresql/0')));
  return { second, rows };
}

/** What the spare is given for its restore alone: the key that production never had, as a secret that it may read. */
function grantKey({ juju, name }: CharmModel, key: AgeKey): { readonly identity: string } {
  const identity = juju.addSecret('backup-key', { 'encryption-identity': key.file });
  say(`   $ juju add-secret -m ${name} backup-key encryption-identity#file=backup-key.txt`);
  quote(identity);
  juju.grantSecret(identity, 'landscape-backup');
  say(`   $ juju grant-secret -m ${name} backup-key landscape-backup`);
  return { identity };
}

async function restore(spare: CharmModel, second: string, key: AgeKey | undefined): Promise<void> {
  title('The spare: the plan comes first');
  const given = key === undefined ? {} : grantKey(spare, key);
  const plan = await run(spare, spare.unit, 'restore', { to: `time=${second}`, ...given });
  const [, id = ''] = /restore confirm=(\w+)/.exec(plan) ?? [];

  title('Landscape on the spare is paused, and the plan is confirmed');
  await run(spare, landscape, 'pause');
  spare.juju.updateStatus();
  await until('the pause is known', async () =>
    (spare.juju.bagOf(spare.beside(landscape), 'peers')['facts'] ?? '').includes('"running":false'),
  );
  await run(spare, spare.unit, 'restore', { confirm: id, ...given });
  let before = '';
  for (const end = performance.now() + 180_000; performance.now() < end; await sleep(20)) {
    const now = statusLines(spare);
    if (now !== before) quote(now);
    before = now;
    if (/copy of/.test(now) && !/maintenance/.test(now)) break;
    if (/stopped/.test(now)) throw new Error('the restore stopped');
  }
  await run(spare, landscape, 'resume');
  spare.juju.updateStatus();
}

/** Whether the spare is what production was, and still itself. */
async function prove(
  spare: CharmModel,
  was: { readonly rows: readonly string[]; readonly files: readonly string[]; readonly ownHost: string },
): Promise<{ good: boolean; rows: string; files: string }> {
  title('Everything compared');
  const restored = await everyRow(spare.database);
  const wanted = new Set(was.rows);
  const rows = restored.filter((row) => wanted.has(row)).length;
  say(`   ${was.rows.length} rows then, ${restored.length} on the spare, ${rows} the same`);
  const [host] = spare.landscapes;
  if (host === undefined) throw new Error('the spare has no Landscape');
  const there = new Set(await kept(host));
  const files = was.files.filter((file) => there.has(file)).length;
  say(`   ${was.files.length} files of production's Landscape, ${files} on the spare with contents, owner and mode`);
  const fits = await fitsOf(host);
  say(`   the spare's passwords open the restored databases: ${fits.passwords.join(', ')}`);
  say(`   its Landscape connected to: ${fits.connected.join(', ')}`);
  say(`   hash-id databases of: ${fits.hashIds.join(', ')}`);
  const isOwn = fits.connected.join() === was.ownHost;
  const identity = await spare.database.sql('select uuid from server_identity', 'landscape-standalone-main');
  const good =
    rows === was.rows.length &&
    restored.length === was.rows.length &&
    files === was.files.length &&
    isOwn &&
    fits.hashIds.join() === identity &&
    fits.passwords.length === 2;
  return { good, rows: `${rows} of ${was.rows.length} rows`, files: `${files} of ${was.files.length} files` };
}

interface Told {
  readonly server: Server | undefined;
  readonly key: AgeKey | undefined;
}

async function tell(world: CharmWorld, { server, key }: Told): Promise<boolean> {
  const [production, spare] = await Promise.all([
    world.addModel('production', { landscape: 1 }),
    world.addModel('spare', { landscape: 1 }),
  ]);
  const began = performance.now();
  say(`   that took ${(began / 1000).toFixed(0)} s`);
  const { spareIsUp } = await deployBoth(production, spare, server?.options ?? { destination }, key);
  const look = async () => await (server?.contents(guests) ?? contents(world.share, guests));
  await keepProduction(production);
  const [original] = production.landscapes;
  if (original === undefined) throw new Error('production has no Landscape');
  const files = await kept(original);
  const { second, rows } = await disaster(production);
  await spareIsUp;
  // From here on production writes nothing by itself: what changes would be the spare's doing.
  await production.database.stop();
  const before = await look();
  await restore(spare, second, key);
  const proof = await prove(spare, { rows, files, ownHost: spare.database.storesHost });
  const isUntouched = (await look()).join('\n') === before.join('\n');
  say(`   production's archive: ${isUntouched ? `${before.length} objects, not a byte changed` : 'CHANGED'}`);
  showStatus(spare);
  say(`   ${((performance.now() - began) / 1000).toFixed(0)} s since the machines were up`);
  say(`\n${bold(`restored: ${proof.rows}, ${proof.files}, to ${second}`)}`);
  return proof.good && isUntouched;
}

/** Tells it with the repository at such a destination, encrypted to a key or not; true when all that it says is true. */
export async function tellCharm(kind: Kind, key: AgeKey | undefined): Promise<boolean> {
  say(bold('landscape-backup: the packed charm in two simulated Juju models'));
  say('   machines, PostgreSQL, Landscape and their charms are set up …');
  const server = kind === 'directory' ? undefined : await startServer(kind);
  try {
    if (server !== undefined)
      say(`   the repository will lie at ${server.options['destination'] ?? ''}, a real server`);
    const world = await makeCharmWorld();
    try {
      return await tell(world, { server, key });
    } finally {
      await world.close();
    }
  } finally {
    await server?.stop();
  }
}
