import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { lowLevelCommands, type LowLevelCommands } from './low-level/commands.ts';
import { postgresFailure, withConnection, type Address, type Connection } from './query.ts';
import { connectReplication, isRefusedByHba } from './replication.ts';

/** How a cluster's base backups are taken. */
export type BackupWay =
  | { readonly is: 'replication' }
  /** By the low-level API over an ordinary SQL connection; `because` is what the server said to a replication connection. */
  | { readonly is: 'sql'; readonly because: string };

/** Which cluster answers at an address, and how a base backup of it is taken. */
export interface IdentifiedSystem {
  readonly systemIdentifier: string;
  readonly timeline: number;
  readonly way: BackupWay;
}

const identitySchema = z.object({ systemid: z.string(), timeline: z.coerce.number() });

/**
 * Asks which cluster answers at an address, over a replication connection: that such a one is allowed is proven too.
 *
 * Where pg_hba.conf, and nothing else, refuses such connections, SQL tells, and backups go that way (9.6 and later).
 */
export async function identifySystem(address: Address): Promise<IdentifiedSystem> {
  try {
    return await identifyByReplication(address);
  } catch (refusal) {
    if (!isRefusedByHba(refusal)) throw refusal;
    return await withConnection(address, async (connection) => {
      const commands = lowLevelCommands(await versionOf(connection));
      if (commands === undefined) throw refusal;
      return { ...(await identifyBySql(connection, commands)), way: { is: 'sql', because: refusal.message } };
    });
  }
}

async function identifyByReplication(address: Address): Promise<IdentifiedSystem> {
  const client = await connectReplication(address);
  try {
    const { rows } = await client.query<Record<string, unknown>>('IDENTIFY_SYSTEM');
    const { systemid, timeline } = identitySchema.parse(rows[0]);
    return { systemIdentifier: systemid, timeline, way: { is: 'replication' } };
  } catch (error) {
    throw postgresFailure(error, `${address.socketDirectory}:${address.port}`);
  } finally {
    await client.end().catch(() => undefined); // It was closed by the other side already.
  }
}

async function versionOf(connection: Connection): Promise<number> {
  const schema = z.object({ version: z.coerce.number() });
  const [row] = await connection.ask(schema, "SELECT current_setting('server_version_num') AS version");
  return row?.version ?? 0;
}

async function identifyBySql(connection: Connection, { identify }: LowLevelCommands) {
  const [row] = await connection.ask(identitySchema, identify);
  if (row === undefined) throw new Failure('postgres', 'PostgreSQL does not say which cluster it is');
  return { systemIdentifier: row.systemid, timeline: row.timeline };
}
