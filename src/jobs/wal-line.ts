import type { ClusterCatalogue, IncarnationCatalogue } from '../core/catalogue.ts';
import { wayTo, type Way } from '../core/restorable.ts';
import { walLine, walRuns, type LocalWal, type WalLine } from '../core/wal-line.ts';
import { segmentOf } from '../core/wal-name.ts';
import { readLocalWal } from '../postgres/local-wal.ts';
import { withConnection } from '../postgres/query.ts';
import { readWritingPlace, type WritingPlace } from '../postgres/timeline-history.ts';
import type { JobContext } from './job-context.ts';
import { withStreamed } from './streamed-wal.ts';

/** Where a server writes, and what it still has. */
export interface ServerLine {
  readonly writing: WritingPlace;
  readonly local: LocalWal;
}

/** Asks a server that runs and is no standby. Call it before the repository is listed: see `walRuns`. */
export async function readServerLine(context: Pick<JobContext, 'cluster' | 'unit'>): Promise<ServerLine> {
  const { cluster } = context;
  const writing = await withConnection(cluster, async (connection) => await readWritingPlace(connection, cluster));
  return { writing, local: await withStreamed(context, await readLocalWal(cluster)) };
}

/** The line that has to be whole: its way, and the segment with which it begins; `undefined` before anything is stored. */
export function lineFrom(
  catalogue: ClusterCatalogue,
  own: IncarnationCatalogue,
  { writing }: ServerLine,
): { readonly way: Way; readonly from: number } | undefined {
  const way = wayTo(catalogue, own.number, writing.timeline);
  const from = way === undefined ? undefined : beginningOf(own, way);
  return way === undefined || from === undefined ? undefined : { way, from };
}

/** At the newest backup, or at the first segment that was ever stored. */
function beginningOf(own: IncarnationCatalogue, way: Way): number | undefined {
  const backup = own.backups.findLast(({ withWal }) => !withWal);
  if (backup !== undefined) return segmentOf(backup.startLsn, way.segmentSize);
  return way.stretches.find(({ incarnation }) => incarnation === own.number)?.first;
}

/** What has become of every segment of that line. */
export function walLineOf(
  catalogue: ClusterCatalogue,
  own: IncarnationCatalogue,
  server: ServerLine,
): WalLine | undefined {
  const line = lineFrom(catalogue, own, server);
  if (line === undefined) return undefined;
  const { way, from } = line;
  const { lsn } = server.writing;
  return walLine(way, walRuns(way, server.local, from, segmentOf(lsn, way.segmentSize)), from, lsn);
}
