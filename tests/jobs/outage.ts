import { execa } from 'execa';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { Backup } from '../../src/core/backup.ts';
import { takeBackup } from '../../src/jobs/backup.ts';
import { runRestore } from '../../src/jobs/restore/run-restore.ts';
import { startTcpProxy } from '../doubles/tcp-proxy.ts';
import { backupContext, makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { runCommand } from '../setup/command.ts';
import type { DestinationOptions, Destinations, StartDestinations } from '../setup/destinations.ts';
import { becomeOwner } from '../setup/machine.ts';
import { plannedRestore, restoreContext } from '../setup/restore-context.ts';
import { until } from '../setup/wait.ts';

const lagSchema = z.object({ lag: z.object({ files: z.number(), bytes: z.number() }) });
const rows = `select count(*) || ' ' || sum(abalance) from pgbench_accounts; select count(*) || ' ' || sum(delta) from pgbench_history`;

/** A destination that goes away and comes back. */
interface Outage {
  readonly options: DestinationOptions;
  begin(): Promise<void>;
  end(): Promise<void>;
  /** Takes away what it needed. */
  stop(): Promise<void>;
}

/** How a destination of a server goes away. */
type MakeOutage = (destinations: Destinations) => Promise<Outage>;

/** The network in between is cut. */
export const cut: MakeOutage = async ({ port, add }) => {
  const proxy = await startTcpProxy(port ?? 0);
  return {
    options: await add(proxy.port),
    begin: async () => {
      proxy.fault = 'refuse';
      proxy.cut();
    },
    end: async () => {
      proxy.fault = 'none';
    },
    stop: async () => {
      await proxy.stop();
    },
  };
};

/** The server itself is stopped. */
export const stopped: MakeOutage = async ({ server, add }) => {
  if (server === undefined) throw new Error('there is no server that could be stopped');
  return { options: await add(), begin: server.halt, end: server.resume, stop: async () => undefined };
};

/** The story of a destination that goes away under load for longer than PostgreSQL asks in a row, and comes back. */
export function outageTest(name: string, start: StartDestinations, makeOutage: MakeOutage): void {
  describe(`an outage of ${name}`, () => {
    let destinations: Destinations;
    let outage: Outage;
    let archived: ArchivedCluster;
    let archiver: ReturnType<typeof startArchiver>;

    beforeAll(async () => {
      becomeOwner();
      destinations = await start();
      outage = await makeOutage(destinations);
      archived = await makeArchivedCluster({ destination: outage.options });
      archiver = startArchiver(archived);
    });
    afterAll(async () => {
      archiver.kill('SIGTERM');
      await archiver;
      await archived.repository.storage.close();
      await archived.machine.destroy();
      await outage.stop();
      await destinations.stop();
    });

    test('loses nothing, is shown as lag while it lasts, and is caught up with by nobody’s hand', async () => {
      await pgbench(archived, '-i', '-q', '-s', '1');
      const backup = await takeBackup(backupContext(archived), { trigger: 'person' });
      // What waits from now on is whole segments: the backup's own label file is archived before.
      await until('what the backup left is archived', async () => (await lag(archived)).files === 0, 300);

      await outage.begin();
      await until('PostgreSQL has given up for a while', async () => await hasGivenUp(archived), 300);
      const during = await lag(archived);
      expect(during.files).toBeGreaterThan(3);
      expect(during.bytes).toBe(during.files * 1024 * 1024);

      await outage.end();
      await pgbench(archived, '-c', '2', '-t', '200', '-n');
      const last = await archived.server.sql('select pg_walfile_name(pg_switch_wal())');
      const expected = await archived.server.sql(rows);
      await until('all that waited is archived', async () => (await archivedTo(archived)) >= last, 300);

      expect((await lag(archived)).files).toBe(0);
      expect(await restored(archived, backup)).toBe(expected);
    }, 1_200_000);
  });
}

function startArchiver({ machine, unit }: ArchivedCluster) {
  return execa(join(machine.runtime, 'bin', 'archiver'), [unit.path], { reject: false, cwd: '/', stdio: 'ignore' });
}

async function pgbench({ cluster }: ArchivedCluster, ...args: readonly string[]): Promise<void> {
  const at = ['-h', cluster.socketDirectory, '-p', String(cluster.port), 'postgres'];
  await execa(join(cluster.binaries, 'pgbench'), [...args, ...at]);
}

/** Goes on writing, and tells whether PostgreSQL has said that it asks no more for a while. */
async function hasGivenUp(archived: ArchivedCluster): Promise<boolean> {
  await pgbench(archived, '-c', '2', '-t', '100', '-n');
  await archived.server.sql('select pg_switch_wal()');
  const log = await readFile(join(archived.machine.root, 'log', 'main.log'), 'utf8');
  return log.includes('failed too many times');
}

async function archivedTo({ server }: ArchivedCluster): Promise<string> {
  return await server.sql("select coalesce(last_archived_wal, '') from pg_stat_archiver");
}

/** What the command `status` tells of it, whether it finds the destination or not. */
async function lag({ machine, cluster }: ArchivedCluster): Promise<{ files: number; bytes: number }> {
  const said = await runCommand(machine, ['status', '--cluster', cluster.label, '--format', 'json']);
  return lagSchema.parse(JSON.parse(said.stdout)).lag;
}

/** The rows of a spare that was restored to the end. */
async function restored(archived: ArchivedCluster, backup: Backup): Promise<string> {
  await archived.server.stop();
  const spare = await archived.machine.createCluster('spare');
  await spare.start();
  const context = await restoreContext(archived.machine, spare, archived.repository, {}, archived.options);
  const { kept } = await plannedRestore(context, { target: { to: 'end' } });
  await runRestore(context, kept, backup);
  return await spare.sql(rows);
}
