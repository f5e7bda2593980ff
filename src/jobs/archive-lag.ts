import type { ArchiveLag } from '../core/archive-lag.ts';
import { addSample, rateSince, type ArchiveSample } from '../core/archive-rate.ts';
import { countWaiting } from '../postgres/local-wal.ts';
import { withConnection, type Connection } from '../postgres/query.ts';
import { readArchiverProgress, type ArchiverProgress } from '../postgres/segment-switch.ts';
import { readServerFacts, type ServerFacts } from '../postgres/server-facts.ts';
import { readArchiveSamples, writeArchiveSamples } from '../system/archive-samples.ts';
import type { JobContext } from './job-context.ts';

type LagContext = Pick<JobContext, 'cluster' | 'unit' | 'clock'>;
type Asked = Pick<ServerFacts, 'versionNumber' | 'isInRecovery'>;

/** Reads how archiving keeps up. Changes nothing. */
export async function readArchiveLag(
  { cluster, unit, clock }: LagContext,
  connection: Connection,
  server: Asked,
): Promise<ArchiveLag> {
  const { files, bytes, oldest, freeBytes } = await countWaiting(cluster);
  const progress = await readArchiverProgress(connection, server);
  const now = clock.now();
  const sample = sampleOf(progress, now);
  return {
    files,
    bytes,
    oldest:
      oldest === undefined
        ? null
        : { name: oldest.name, seconds: Math.max(0, (now.getTime() - oldest.since.getTime()) / 1000) },
    freeBytes,
    last: progress.last ?? null,
    rate: sample === undefined ? null : rateSince(await readArchiveSamples(unit), sample, progress.segmentSize),
  };
}

/** Keeps what PostgreSQL counts at this moment, for the rate. */
export async function sampleArchiving({ cluster, unit, clock }: LagContext): Promise<void> {
  if (!cluster.running) return;
  const progress = await withConnection(
    cluster,
    async (connection) => await readArchiverProgress(connection, await readServerFacts(connection)),
  );
  const sample = sampleOf(progress, clock.now());
  if (sample !== undefined) await writeArchiveSamples(unit, addSample(await readArchiveSamples(unit), sample));
}

function sampleOf({ archived, written }: ArchiverProgress, at: Date): ArchiveSample | undefined {
  return written === undefined ? undefined : { at, archived, written };
}
