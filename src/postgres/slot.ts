import { statfs } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { lsnSchema } from '../core/lsn.ts';
import type { SlotFacts, StreamFacts } from '../core/streaming.ts';
import { errorCode } from '../system/files.ts';
import type { Cluster } from './cluster.ts';
import type { Connection } from './query.ts';
import { walDirectory } from './timeline-history.ts';

const slotSchema = z.object({
  restart: lsnSchema.nullable(),
  pid: z.number().nullable(),
  status: z.string().nullable(),
});

/** Asks for a physical slot; `undefined` when there positively is none. */
async function readSlot(connection: Connection, name: string): Promise<SlotFacts | undefined> {
  const [row] = await connection.ask(
    slotSchema,
    // Before 13 there is no wal_status.
    `select restart_lsn::text as restart, active_pid as pid, to_jsonb(s) ->> 'wal_status' as status
     from pg_replication_slots s where slot_name = $1 and slot_type = 'physical'`,
    [name],
  );
  if (row === undefined) return undefined;
  return {
    restartLsn: row.restart ?? undefined,
    activePid: row.pid ?? undefined,
    isLost: row.status === 'lost' || row.restart === null,
  };
}

const serverSchema = z.object({
  version: z.coerce.number(),
  recovering: z.boolean(),
  level: z.string(),
  names: z.string(),
  kept: z.coerce.number().nullable(),
});

/** Asks all that decides about streaming, but for what lies in our own folder. */
export async function readStreamFacts(
  connection: Connection,
  cluster: Cluster,
  name: string,
): Promise<Omit<StreamFacts, 'pendingBytes'>> {
  const version = await connection.ask(
    z.object({ version: z.coerce.number() }),
    "select current_setting('server_version_num') as version",
  );
  const versionNumber = version[0]?.version ?? 0;
  const end =
    versionNumber < 100_000
      ? 'pg_xlog_location_diff(pg_current_xlog_location(), restart_lsn)'
      : 'pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, restart_lsn)';
  const [row] = await connection.ask(
    serverSchema,
    `select current_setting('server_version_num') as version, pg_is_in_recovery() as recovering,
       current_setting('wal_level') as level, current_setting('synchronous_standby_names') as names,
       (select ${end} from pg_replication_slots where slot_name = $1) as kept`,
    [name],
  );
  if (row === undefined) throw new Failure('postgres', 'PostgreSQL does not say what it is');
  const folder = walDirectory(cluster);
  const { bavail, bsize } = await statfs(folder).catch((error: unknown) => {
    throw new Failure('machine', `${folder} could not be read: ${errorCode(error) ?? String(error)}`, { cause: error });
  });
  return {
    versionNumber: row.version,
    isInRecovery: row.recovering,
    walLevel: row.level,
    synchronousNames: row.names,
    slot: await readSlot(connection, name),
    keptBytes: Math.max(0, row.kept ?? 0),
    freeBytes: bavail * bsize,
  };
}

/** Makes a slot that keeps WAL from now on; that it is there already is as good. */
export async function createSlot(connection: Connection, name: string): Promise<void> {
  if ((await readSlot(connection, name)) !== undefined) return;
  await connection.ask(z.unknown(), 'select pg_create_physical_replication_slot($1, true)', [name]);
}

/** Ends whoever sends to a slot, so that another one can. Fails with `postgres` when it does not end within 20 s. */
export async function freeSlot(connection: Connection, name: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const pid = (await readSlot(connection, name))?.activePid;
    if (pid === undefined) return;
    await connection.ask(z.unknown(), 'select pg_terminate_backend($1)', [pid]);
    await sleep(100);
  }
  throw new Failure('postgres', `the process that sends to the slot ${name} does not end`);
}

/** Drops a slot; it may be gone. Whoever streams from it is ended, and comes back to find none. */
export async function dropSlot(connection: Connection, name: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    await freeSlot(connection, name);
    try {
      await connection.ask(
        z.unknown(),
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and slot_type = 'physical'",
        [name],
      );
      return;
    } catch (error) {
      // Somebody began to stream in between.
      if (attempt >= 20 || (await readSlot(connection, name))?.activePid === undefined) throw error;
    }
  }
}
