import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { lsnSchema } from '../core/lsn.ts';
import { restorePointSchema, type RestorePoint } from '../core/record.ts';
import { restorePointNameFault } from '../core/restore-point-name.ts';
import { readServer } from '../postgres/archiving-facts.ts';
import { withConnection, type Connection } from '../postgres/query.ts';
import { switchSegment } from '../postgres/segment-switch.ts';
import { readWritingPlace } from '../postgres/timeline-history.ts';
import { layout, type Place } from '../repository/layout.ts';
import { appendRecord, readRecords } from '../repository/records.ts';
import type { Repository } from '../repository/repository.ts';
import { readStanding } from './configure.ts';
import { takeLockSoon, type JobContext } from './job-context.ts';

/**
 * Writes a named restore point into the WAL, records where it lies, and ends its segment so that it is archived.
 *
 * A name that the incarnation already has is `refused`: PostgreSQL would stop at the first of them.
 */
export async function createRestorePoint(
  context: JobContext,
  repository: Repository,
  name: string,
): Promise<RestorePoint> {
  const fault = restorePointNameFault(name);
  if (fault !== undefined)
    throw new Failure('usage', `"${name}" can't be the name of a restore point: ${fault}`, {
      hint: 'For instance: before-upgrade-25.10',
    });
  const { standing, systemIdentifier } = await readStanding(context, repository);
  if (standing.is !== 'owner') {
    throw new Failure(
      'refused',
      `the cluster ${context.cluster.label} owns no incarnation: its WAL is not kept, so nothing could be restored to a point in it`,
      {
        hint: 'landscape-backup status says what it is.',
      },
    );
  }
  const place: Place = { systemIdentifier, incarnation: standing.incarnation.number };
  const lock = await takeLockSoon(context.unit, 'restore-point', 'another restore point');
  try {
    await refuseDuplicate(repository, place, name);
    const point = await withConnection(context.cluster, async (connection) => await write(connection, context, name));
    await appendRecord(repository, layout.restorePoints(place), restorePointSchema, point);
    await withConnection(context.cluster, async (connection) => {
      await switchSegment(connection, (await readServer(connection)).versionNumber);
    });
    return point;
  } finally {
    await lock.release();
  }
}

async function refuseDuplicate(repository: Repository, place: Place, name: string): Promise<void> {
  const known = await readRecords(repository, layout.restorePoints(place), restorePointSchema);
  const same = known.find(({ value }) => value?.name === name)?.value;
  if (same === undefined) return;
  throw new Failure('refused', `there is a restore point "${name}" already, of ${same.at.toISOString()}`, {
    hint: 'Choose another name.',
  });
}

async function write(connection: Connection, { cluster }: JobContext, name: string): Promise<RestorePoint> {
  const { timeline } = await readWritingPlace(connection, cluster);
  const pointSchema = z.object({ lsn: lsnSchema, at: z.date() });
  const [row] = await connection.ask(
    pointSchema,
    'select pg_create_restore_point($1)::text as lsn, clock_timestamp() as at',
    [name],
  );
  if (row === undefined) throw new Failure('postgres', 'PostgreSQL did not say where the restore point lies');
  return { format: 1, name, timeline, lsn: row.lsn, at: row.at };
}
