import type { IncarnationCatalogue } from '../core/catalogue.ts';
import { findLost, type LostSegments } from '../core/holes.ts';
import { holeSchema, type Hole } from '../core/record.ts';
import { segmentName, segmentOf, segmentStart } from '../core/wal-name.ts';
import { layout } from '../repository/layout.ts';
import { appendRecord } from '../repository/records.ts';
import type { Repository } from '../repository/repository.ts';
import { recordNeededBackup } from '../system/needed-backups.ts';
import { readStanding } from './configure.ts';
import type { JobContext } from './job-context.ts';
import { readCatalogueByMemory } from './remembered-wal.ts';
import { lineFrom, readServerLine } from './wal-line.ts';

/**
 * Looks for segments since the newest base backup that are not stored and never will be, records each stretch once, and
 * makes a new base backup needed. Gives back those that were not known.
 *
 * What lies before that backup's start needs nothing: its own line begins after it. What is missing was listed in this very
 * look; what somebody took out of the middle of old WAL may take it an hour to find.
 */
export async function findHoles(context: JobContext, repository: Repository): Promise<readonly Hole[]> {
  const { cluster, settings } = context;
  if (!settings.walArchiving || !cluster.running) return [];
  const { standing, systemIdentifier } = await readStanding(context, repository);
  if (standing.is !== 'owner') return [];
  const server = await readServerLine(context);
  const catalogue = await readCatalogueByMemory(context, repository, systemIdentifier);
  const number = standing.incarnation.number;
  const own = catalogue.incarnations.find((each) => each.number === number);
  const line = own === undefined ? undefined : lineFrom(catalogue, own, server);
  if (own === undefined || line === undefined) return [];
  const found: Hole[] = [];
  const current = segmentOf(server.writing.lsn, line.way.segmentSize);
  for (const lost of findLost(line.way, server.local, line.from, current))
    found.push(...(await record(context, repository, own, lost)));
  return found;
}

async function record(
  { unit, clock }: JobContext,
  repository: Repository,
  own: IncarnationCatalogue,
  { timeline, first, last }: LostSegments,
): Promise<readonly Hole[]> {
  const { segmentSize } = own.wal;
  const names = [first, last].map((segment) => segmentName(timeline, segment, segmentSize));
  const which = first === last ? `segment ${names[0]} is` : `segments ${names[0]} to ${names[1]} are`;
  const why = `WAL ${which} not stored, and PostgreSQL has recycled it or marked it as archived`;
  // The need first: who dies in between finds the hole again.
  await recordNeededBackup(unit, {
    format: 1,
    reason: 'hole',
    since: clock.now(),
    why,
    incarnation: own.number,
    after: segmentStart(last + 1, segmentSize),
  });
  const isKnown = own.holes.some(
    (hole) => hole.timeline === timeline && hole.firstSegment <= first && hole.lastSegment >= last,
  );
  if (isKnown) return [];
  const hole: Hole = { format: 1, timeline, firstSegment: first, lastSegment: last, at: clock.now(), why };
  const place = { systemIdentifier: own.systemIdentifier, incarnation: own.number };
  await appendRecord(repository, layout.holes(place), holeSchema, hole);
  return [hole];
}
