import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import type { EffectiveSetting } from '../core/archiving-decision.ts';
import { Failure } from '../core/failure.ts';
import { lsnSchema, type Lsn } from '../core/lsn.ts';
import { readEffective, readServer } from './archiving-facts.ts';
import type { Connection } from './query.ts';

/** Reloads the configuration, waits (10 s at most) until the server has read it, and reads the archiving settings back. */
export async function reload(connection: Connection): Promise<ReadonlyMap<string, EffectiveSetting>> {
  const timeSchema = z.object({ at: z.date() });
  const loadedAt = async () => (await connection.ask(timeSchema, 'select pg_conf_load_time() as at'))[0]?.at.getTime();
  const before = await loadedAt();
  await connection.ask(z.unknown(), 'select pg_reload_conf()');
  for (let attempt = 0; attempt < 200 && (await loadedAt()) === before; attempt += 1) await sleep(50);
  return await readEffective(connection);
}

/** Where the server's WAL ends now: written on a primary, replayed on a standby. */
export async function currentLsn(connection: Connection): Promise<Lsn> {
  const { versionNumber } = await readServer(connection);
  const sql =
    versionNumber < 100_000
      ? 'select (case when pg_is_in_recovery() then pg_last_xlog_replay_location() else pg_current_xlog_location() end)::text as lsn'
      : 'select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end)::text as lsn';
  const [row] = await connection.ask(z.object({ lsn: lsnSchema }), sql);
  if (row === undefined) throw new Failure('postgres', 'PostgreSQL does not tell its WAL position');
  return row.lsn;
}
