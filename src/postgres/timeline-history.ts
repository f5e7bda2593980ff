import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { lsnSchema, type Lsn } from '../core/lsn.ts';
import { parseHistory, type TimelineSwitch } from '../core/timeline.ts';
import { historyName, readWalName } from '../core/wal-name.ts';
import { errorCode, readText } from '../system/files.ts';
import { readServer } from './archiving-facts.ts';
import type { Cluster } from './cluster.ts';
import type { Connection } from './query.ts';

/** The directory of a cluster's WAL, below 10 under its old name. */
export function walDirectory({ major, dataDirectory }: Pick<Cluster, 'major' | 'dataDirectory'>): string {
  return join(dataDirectory, Number.parseFloat(major) < 10 ? 'pg_xlog' : 'pg_wal');
}

/** The paths of the timeline histories that a cluster holds, oldest first. */
export async function listHistories(
  cluster: Cluster,
): Promise<readonly { readonly name: string; readonly path: string }[]> {
  const folder = walDirectory(cluster);
  const names = await readdir(folder).catch((error: unknown) => {
    throw new Failure('machine', `${folder} could not be read: ${errorCode(error) ?? String(error)}`, { cause: error });
  });
  return names
    .filter((name) => readWalName(name)?.kind === 'history')
    .sort()
    .map((name) => ({ name, path: join(folder, name) }));
}

/** Where a running primary writes: its timeline, its LSN, and the way that led there. */
export interface WritingPlace {
  readonly timeline: number;
  readonly lsn: Lsn;
  readonly history: readonly TimelineSwitch[];
}

/** Asks a running primary where it writes. Fails with `refused` while it is in recovery, where it writes nothing of its own. */
export async function readWritingPlace(connection: Connection, cluster: Cluster): Promise<WritingPlace> {
  const { versionNumber } = await readServer(connection);
  const [recovery] = await connection.ask(z.object({ on: z.boolean() }), 'select pg_is_in_recovery() as on');
  if (recovery?.on !== false) {
    throw new Failure(
      'refused',
      `the cluster ${cluster.label} is in recovery: it is a standby, or a restore is under way`,
      {
        hint: 'Wait until it is promoted, or go to the primary.',
      },
    );
  }
  const sql =
    versionNumber < 100_000
      ? 'select pg_xlogfile_name(pg_current_xlog_location()) as file, pg_current_xlog_location()::text as lsn'
      : 'select pg_walfile_name(pg_current_wal_lsn()) as file, pg_current_wal_lsn()::text as lsn';
  const [row] = await connection.ask(z.object({ file: z.string(), lsn: lsnSchema }), sql);
  const name = readWalName(row?.file ?? '');
  if (row === undefined || name === undefined)
    throw new Failure('postgres', 'PostgreSQL does not tell where it writes');
  const path = join(walDirectory(cluster), historyName(name.timeline));
  const text = name.timeline === 1 ? '' : await readText(path);
  if (text === undefined) {
    throw new Failure(
      'postgres',
      `${path} is missing: the cluster does not know how it came to timeline ${name.timeline}`,
    );
  }
  return { timeline: name.timeline, lsn: row.lsn, history: parseHistory(text, historyName(name.timeline)) };
}
