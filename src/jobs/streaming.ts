import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isOurCommand } from '../core/archiving-decision.ts';
import { Failure } from '../core/failure.ts';
import type { Standing } from '../core/incarnation.ts';
import { hasRoomForSlot, slotFault, slotName, type StreamFacts } from '../core/streaming.ts';
import { timelineOfSegment, timelinePath } from '../core/timeline.ts';
import {
  parseWalName,
  segmentName,
  segmentNamed,
  segmentNumber,
  segmentOf,
  segmentStart,
  type WalName,
} from '../core/wal-name.ts';
import { readReceived } from '../archiver/stream-folder.ts';
import { readEffective } from '../postgres/archiving-facts.ts';
import type { Cluster } from '../postgres/cluster.ts';
import { readControlData } from '../postgres/control-data.ts';
import { withConnection, type Connection } from '../postgres/query.ts';
import { currentLsn } from '../postgres/reload.ts';
import { createSlot, dropSlot } from '../postgres/slot.ts';
import { readWritingPlace } from '../postgres/timeline-history.ts';
import { layout, type Place } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { walNamesIn } from '../repository/wal-store.ts';
import { readOwnerState } from '../system/home.ts';
import { recordNeededBackup } from '../system/needed-backups.ts';
import {
  readStreamMarker,
  removeStreamMarker,
  streamFolder,
  writeStreamMarker,
  type StreamMarker,
} from '../system/stream-marker.ts';
import { takeLockSoon, type JobContext } from './job-context.ts';
import { findRefusal, readStream } from './stream-facts.ts';

type StreamContext = Pick<JobContext, 'cluster' | 'unit' | 'settings' | 'clock' | 'step'>;
type StreamOf = Pick<JobContext, 'cluster' | 'unit' | 'step'>;

/** Tells whether the settings want this cluster's WAL streamed. */
function isWanted(settings: JobContext['settings'], standing: Standing): boolean {
  return settings.walArchiving && settings.walMethod === 'stream' && standing.is === 'owner';
}

/**
 * Brings the slot and its marker in line with what is wanted; call it with the lock `archiving` held, after the archiving
 * settings are what they shall be.
 *
 * Fails with `refused` where the server can't be streamed from. A slot that has become useless or dangerous is dropped, and
 * made anew when what was received before is stored; WAL that is lost by that is found by `findHoles`.
 */
export async function reconcileStreaming(
  context: StreamContext,
  repository: Repository,
  standing: Standing,
  isArchiving: boolean,
): Promise<void> {
  const { cluster, unit, settings } = context;
  const marker = await readStreamMarker(unit);
  const owner = await readOwnerState(unit);
  if (!isWanted(settings, standing) || standing.is !== 'owner' || owner === undefined) {
    const goesBack = settings.walArchiving && standing.is === 'owner' && marker !== undefined;
    if (goesBack && marker.incarnation === standing.incarnation.number)
      await goBack(context, repository, marker, isArchiving);
    else await endStreaming(context);
    return;
  }
  const wanted = { slot: slotName(owner.ownerId), incarnation: owner.incarnation };
  await withConnection(cluster, async (connection) => {
    let facts = await readStream(connection, context, wanted);
    if (facts.isInRecovery) {
      await endStreaming(context);
      return;
    }
    const refusal = await findRefusal(context, facts);
    if (refusal !== undefined) throw refused(cluster, refusal.why, refusal.hint);
    const fault = slotFault(facts);
    if (fault !== undefined) {
      await dropFaulty(connection, context, wanted, fault);
      facts = await readStream(connection, context, wanted);
    }
    if (facts.slot === undefined) {
      if (!hasRoomForSlot(facts)) return;
      if (marker === undefined) await needBackup(connection, context, wanted.incarnation);
    }
    if (
      marker === undefined ||
      marker.until !== null ||
      marker.slot !== wanted.slot ||
      marker.incarnation !== wanted.incarnation
    ) {
      await writeStreamMarker(unit, { format: 1, ...wanted, until: null });
      context.step?.('marker written');
    }
    await createSlot(connection, wanted.slot).catch((error: unknown) => {
      throw slotRefused(cluster, error);
    });
    context.step?.('slot made');
  });
}

function refused(cluster: Cluster, why: string, hint: string | undefined): Failure {
  return new Failure('refused', `the WAL of the cluster ${cluster.label} can't be streamed: ${why}`, { hint });
}

function slotRefused(cluster: Cluster, error: unknown): Failure {
  const said = error instanceof Error ? error.message : String(error);
  return new Failure('refused', `the WAL of the cluster ${cluster.label} can't be streamed: ${said}`, {
    hint: 'Raise max_replication_slots by one and restart the cluster, or set wal-method to archive.',
    cause: error,
  });
}

/** Where WAL came to nobody of ours before, what is stored can't be joined to what comes. */
async function needBackup(
  connection: Connection,
  { unit, clock, step }: StreamContext,
  incarnation: number,
): Promise<void> {
  const effective = await readEffective(connection);
  const isOurs = isOurCommand(effective.get('archive_command')?.value ?? '');
  if (isOurs && effective.get('archive_mode')?.value !== 'off') return;
  await recordNeededBackup(unit, {
    format: 1,
    reason: 'foreign-archiver',
    since: clock.now(),
    why: 'streaming has begun, and WAL from before did not come here',
    incarnation,
    after: await currentLsn(connection),
  });
  step?.('need recorded');
}

async function dropFaulty(
  connection: Connection,
  { unit, clock, step }: StreamContext,
  { slot, incarnation }: Pick<StreamMarker, 'slot' | 'incarnation'>,
  why: string,
): Promise<void> {
  // The need first: who dies in between finds the slot again.
  await recordNeededBackup(unit, {
    format: 1,
    reason: 'hole',
    since: clock.now(),
    why: `the slot of the stream was dropped: ${why}`,
    incarnation,
    after: await currentLsn(connection),
  });
  step?.('loss recorded');
  await dropSlot(connection, slot);
  step?.('faulty slot dropped');
}

/**
 * The way back to archiving: the slot stays until archiving is on and the segment that was being written then has been
 * received and stored, with all before it.
 */
async function goBack(
  context: StreamContext,
  repository: Repository,
  marker: StreamMarker,
  isArchiving: boolean,
): Promise<void> {
  const { cluster, unit } = context;
  if (!isArchiving) return;
  await withConnection(cluster, async (connection) => {
    const facts = await readStream(connection, context, marker);
    if (facts.isInRecovery || facts.slot === undefined || slotFault(facts) !== undefined) {
      await endStreaming(context);
      return;
    }
    if (marker.until === null) {
      const { segmentSize } = await readControlData(cluster.binaries, cluster.dataDirectory);
      const { timeline, lsn } = await readWritingPlace(connection, cluster);
      const until = segmentName(timeline, segmentOf(lsn, segmentSize), segmentSize);
      await writeStreamMarker(unit, { ...marker, until });
      context.step?.('end written');
      return;
    }
    if (await isPassed(context, connection, repository, marker, facts)) await endStreaming(context);
  });
}

async function isPassed(
  { cluster, unit }: StreamContext,
  connection: Connection,
  repository: Repository,
  { until, incarnation }: StreamMarker,
  { slot }: StreamFacts,
): Promise<boolean> {
  const { segmentSize, systemIdentifier } = await readControlData(cluster.binaries, cluster.dataDirectory);
  const last = parseWalName(until ?? '');
  const number = last.kind === 'segment' ? segmentNumber(last, segmentSize) : undefined;
  if (number === undefined)
    throw new Failure('damaged', `${until ?? ''} in streaming.json is no segment of this cluster`);
  if (slot?.restartLsn === undefined || slot.restartLsn < segmentStart(number + 1, segmentSize)) return false;
  const place = { systemIdentifier, incarnation };
  const { finished, unfinished } = await readReceived(streamFolder(unit, incarnation));
  // A beginning of another timeline, or from before a slot that was lost.
  if (unfinished.length > 1) return false;
  // Where a timeline began in it since, it is finished under that one's name.
  const { timeline, history } = await readWritingPlace(connection, cluster);
  const under = timelineOfSegment(timelinePath(timeline, history, segmentSize), number) ?? last.timeline;
  const ends = segmentNamed(under, number, segmentSize);
  for (const name of [ends, ...finished]) if (!(await isStored(repository, place, name))) return false;
  return true;
}

async function isStored(repository: Repository, place: Place, name: WalName): Promise<boolean> {
  return (await walNamesIn(repository, layout.walFolder(place, name))).has(name.name);
}

/**
 * Drops the slot, then says that there is none; call it with the lock `archiving` held. What was received and is not stored is
 * left to the archiver. Where the cluster does not run the slot stays, and so does what says so: the note tells it.
 */
async function endStreaming({ cluster, unit, step }: StreamOf): Promise<string | undefined> {
  const marker = await readStreamMarker(unit);
  const owner = await readOwnerState(unit);
  const slot = marker?.slot ?? (owner === undefined ? undefined : slotName(owner.ownerId));
  if (slot === undefined) return undefined;
  if (!cluster.running) {
    if (marker === undefined) return undefined;
    return `the replication slot ${slot} stays, because the cluster does not run: it keeps WAL for ever once it does, so start it and do this again`;
  }
  await withConnection(cluster, async (connection) => {
    await dropSlot(connection, slot);
    step?.('slot dropped');
  });
  if (marker === undefined) return undefined;
  await removeStreamMarker(unit);
  step?.('marker removed');
  return undefined;
}

/** Ends streaming for good; says what is left, if anything. Call it with the lock `archiving` held. */
export async function leaveStreaming(of: StreamOf): Promise<string | undefined> {
  const left = await endStreaming(of);
  if (left !== undefined) return left;
  await rm(dirname(streamFolder(of.unit, 1)), { recursive: true, force: true });
  of.step?.('received removed');
  return undefined;
}

/**
 * Drops a slot of ours that has become dangerous or that nothing here stands for. It asks no destination: a slot fills the
 * disk just when that is away. `mostWaiting` is the bound on a large disk, where it is another than the product's.
 */
export async function guardSlot(context: StreamContext, mostWaiting?: number): Promise<void> {
  const { cluster, unit } = context;
  const owner = await readOwnerState(unit);
  if (!cluster.running || owner === undefined) return;
  const lock = await takeLockSoon(unit, 'archiving', `the configuration of ${cluster.label}`);
  try {
    const marker = await readStreamMarker(unit);
    if (marker === undefined) {
      await endStreaming(context);
      return;
    }
    await withConnection(cluster, async (connection) => {
      const facts = await readStream(connection, context, marker);
      const fault = slotFault(facts, mostWaiting);
      if (fault !== undefined) await dropFaulty(connection, context, marker, fault);
    });
  } finally {
    await lock.release();
  }
}
