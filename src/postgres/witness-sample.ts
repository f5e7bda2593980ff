import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { lsnSchema } from '../core/lsn.ts';
import { readServerFacts } from './server-facts.ts';
import type { Connection } from './query.ts';
import type { WitnessSample } from '../core/witness.ts';

const placeSchema = z.object({ lsn: lsnSchema, file: z.string() });
const snapshotSchema = z.object({ oldest: z.string(), next: z.string() });

/**
 * A transaction takes its time of commit a moment before its place in the WAL. So long after the time the place is asked, that
 * whatever was committed up to the time lies before the place.
 */
const commitMs = 1000;

/** A time, then a place in the WAL before which everything lies that was committed up to it; none on a standby. */
export async function sampleWitness(connection: Connection): Promise<WitnessSample | undefined> {
  const { versionNumber, isInRecovery } = await readServerFacts(connection);
  if (isInRecovery) return undefined;
  const [time] = await connection.ask(z.object({ at: z.date() }), 'SELECT clock_timestamp() AS at');
  await sleep(commitMs);
  const [snapshot] = await connection.ask(
    snapshotSchema,
    `SELECT txid_snapshot_xmin(taken)::text AS oldest, txid_snapshot_xmax(taken)::text AS next
     FROM txid_current_snapshot() AS taken`,
  );
  const names =
    versionNumber < 100_000
      ? { place: 'pg_current_xlog_insert_location', file: 'pg_xlogfile_name' }
      : { place: 'pg_current_wal_insert_lsn', file: 'pg_walfile_name' };
  const [place] = await connection.ask(
    placeSchema,
    `SELECT at::text AS lsn, ${names.file}(at) AS file FROM ${names.place}() AS at`,
  );
  if (time === undefined || snapshot === undefined || place === undefined) {
    throw new Failure('postgres', 'PostgreSQL does not tell where its WAL is');
  }
  return {
    at: time.at,
    timeline: Number.parseInt(place.file.slice(0, 8), 16),
    lsn: place.lsn,
    nextTransaction: snapshot.next,
    isQuiet: snapshot.oldest === snapshot.next,
  };
}

/** Ends the segment that is being written, so that it gets archived. A segment that holds nothing yet goes on. */
export async function endSegment(connection: Connection): Promise<void> {
  const { versionNumber } = await readServerFacts(connection);
  await connection.ask(z.unknown(), `SELECT ${versionNumber < 100_000 ? 'pg_switch_xlog' : 'pg_switch_wal'}()`);
}
