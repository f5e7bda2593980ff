import * as z from 'zod';
import { Failure } from '../../core/failure.ts';
import { lsnSchema } from '../../core/lsn.ts';
import type { BaseBackupRequest } from '../base-backup-command.ts';
import type { RunningBaseBackup } from '../base-backup.ts';
import type { BackedUpTablespace, WalPosition } from '../base-backup-query.ts';
import { BackupSession } from './session.ts';
import type { Cluster } from '../cluster.ts';
import { randomName } from '../../system/files.ts';
import { LowLevelArchives, type BackupFiles } from './archives.ts';
import { lowLevelCommands, type LowLevelCommands } from './commands.ts';

// A fast checkpoint comes before the first answer; 9.6 waits for its WAL to be archived before the last.
const longMs = 3_600_000;
const shortMs = 60_000;

/**
 * Takes a base backup by the low-level API over an ordinary SQL connection: the same stream as `withBaseBackup` gives, where
 * the server refuses replication connections. We read the files, so the process runs as the cluster's owner on its machine.
 *
 * The bodies are plain. The backup is given up, on the server too, when `work` throws before it has read all objects and
 * `end`, when the signal aborts, when the connection is lost, or when this process dies.
 */
export async function withLowLevelBackup<T>(
  cluster: Cluster,
  versionNumber: number,
  request: BaseBackupRequest,
  signal: AbortSignal,
  work: (backup: RunningBaseBackup) => Promise<T>,
): Promise<T> {
  const commands = lowLevelCommands(versionNumber);
  if (commands === undefined) {
    throw new Failure('internal', `PostgreSQL ${versionNumber} has no backup that ends with its connection`);
  }
  const session = await BackupSession.open(cluster, signal);
  try {
    return await work(await begin({ session, commands, cluster, versionNumber }, request));
  } catch (error) {
    throw session.failure(error);
  } finally {
    await session.close();
  }
}

interface Backing {
  readonly session: BackupSession;
  readonly commands: LowLevelCommands;
  readonly cluster: Cluster;
  readonly versionNumber: number;
}

async function begin(backing: Backing, request: BaseBackupRequest): Promise<RunningBaseBackup> {
  const { session, commands } = backing;
  for (const sql of commands.prepare) await session.ask(shortMs, z.unknown(), sql);
  const facts = await readFacts(backing);
  if (request.withWal && commands.reserveWal !== undefined) await reserveWal(session, commands.reserveWal);
  const [started] = await session.ask(longMs, z.object({ lsn: lsnSchema }), commands.start, [request.label]);
  if (started === undefined) throw new Failure('postgres', 'PostgreSQL did not say where the backup starts');
  const start = await position(backing, started.lsn);
  const tablespaces = await listTablespaces(session);
  const archives = await LowLevelArchives.begin({
    ...facts,
    start,
    tablespaces,
    commands,
    withWal: request.withWal,
    binaries: backing.cluster.binaries,
    guard: () => {
      session.guard();
    },
    warn: (text) => {
      session.warn(text);
    },
    stop: async () => await stop(backing),
  });
  return {
    start,
    tablespaces,
    compression: { where: 'client', level: request.compression.level },
    objects: archives.objects(),
    plainBytes: () => archives.plainBytes,
    end: async () => ({ ...archives.end(), warnings: session.warnings }),
  };
}

/** As for `withBaseBackup`: where no slot is free the backup goes on without, and fails if WAL is gone at its end. */
async function reserveWal(session: BackupSession, sql: string): Promise<void> {
  await session.ask(shortMs, z.unknown(), sql, [`landscape_backup_${randomName()}`]).catch(() => undefined);
  session.guard();
}

const factsSchema = z.object({
  directory: z.string(),
  systemid: z.string(),
  catalog: z.coerce.number(),
  blockBytes: z.coerce.number(),
  blocksPerFile: z.coerce.number(),
  checksums: z.string(),
  statistics: z.string().nullable(),
});

async function readFacts({ session, cluster }: Backing) {
  const [row] = await session.ask(
    shortMs,
    factsSchema,
    `SELECT current_setting('data_directory') AS directory, system_identifier::text AS systemid, catalog_version_no AS catalog,
       current_setting('block_size') AS "blockBytes", current_setting('data_checksums') AS checksums,
       (SELECT setting FROM pg_settings WHERE name = 'segment_size') AS "blocksPerFile",
       (SELECT setting FROM pg_settings WHERE name = 'stats_temp_directory') AS statistics
     FROM pg_control_system()`,
  );
  if (row === undefined) throw new Failure('postgres', 'PostgreSQL does not say where its data lies');
  return {
    dataDirectory: row.directory,
    systemIdentifier: row.systemid,
    tablespaceVersion: `PG_${cluster.major}_${row.catalog}`,
    pages: row.checksums === 'on' ? { pageBytes: row.blockBytes, pagesPerFile: row.blocksPerFile } : undefined,
    statisticsDirectory: row.statistics,
  };
}

const tablespaceSchema = z.object({
  oid: z.coerce.number().nullable(),
  location: z.string().nullable(),
  bytes: z.coerce.number(),
});

/** The tablespaces that the server's map names, and the data directory last. */
async function listTablespaces(session: BackupSession): Promise<readonly BackedUpTablespace[]> {
  const rows = await session.ask(
    shortMs * 10, // The server looks at every file for its size.
    tablespaceSchema,
    `SELECT oid::text AS oid, pg_tablespace_location(oid) AS location, coalesce(pg_tablespace_size(oid), 0) AS bytes
       FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')
     UNION ALL SELECT NULL, NULL, pg_tablespace_size('pg_default') + pg_tablespace_size('pg_global')
     ORDER BY oid NULLS LAST`,
  );
  const inPlace = rows.find(({ location }) => location !== null && !location.startsWith('/'));
  if (inPlace !== undefined) {
    throw new Failure('refused', `the tablespace ${inPlace.oid ?? ''} lies in the data directory itself`, {
      hint: 'That is meant for the tests of PostgreSQL (allow_in_place_tablespaces): move what is in it, and drop it.',
    });
  }
  return rows.map(({ oid, location, bytes }) => ({ oid, location, estimatedBytes: bytes }));
}

async function position({ session, commands }: Backing, lsn: bigint): Promise<WalPosition> {
  const [row] = await session.ask(shortMs, z.object({ timeline: z.number() }), commands.timeline, [
    lsnSchema.encode(lsn),
  ]);
  if (row === undefined) throw new Failure('postgres', 'PostgreSQL does not say on which timeline it writes');
  return { lsn, timeline: row.timeline };
}

const stopSchema = z.object({ lsn: lsnSchema, label: z.instanceof(Buffer), map: z.instanceof(Buffer) });

/** Ends the backup on the server; its label and its map are no files there. */
async function stop(backing: Backing): Promise<BackupFiles> {
  const [row] = await backing.session.ask(longMs, stopSchema, backing.commands.stop);
  if (row === undefined) throw new Failure('postgres', 'PostgreSQL did not say where the backup ends');
  return { label: row.label, map: row.map, at: await position(backing, row.lsn) };
}
