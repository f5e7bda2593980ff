import { readReceived } from '../archiver/stream-folder.ts';
import { formatLsn } from '../core/lsn.ts';
import { toFailure } from '../core/failure.ts';
import type { StreamFact } from '../core/health-facts.ts';
import type { Settings } from '../core/settings.ts';
import { isNearBound, refuseStream, slotName, streamBound, type StreamFacts } from '../core/streaming.ts';
import { formatBytes } from '../core/words.ts';
import type { Cluster } from '../postgres/cluster.ts';
import { readControlData } from '../postgres/control-data.ts';
import { withConnection, type Connection } from '../postgres/query.ts';
import { readStreamFacts } from '../postgres/slot.ts';
import { connectReplication } from '../postgres/replication.ts';
import { readOwnerState, type UnitFolder } from '../system/home.ts';
import { isLockHeld } from '../system/lock.ts';
import { readStreamMarker, streamFolder, type StreamMarker } from '../system/stream-marker.ts';

/** Whose stream it is. */
interface StreamOf {
  readonly cluster: Cluster;
  readonly unit: UnitFolder;
}

/** What the stream of a cluster is: its slot on the server and what waits for it. */
export async function readStream(
  connection: Connection,
  { cluster, unit }: StreamOf,
  { slot, incarnation }: Pick<StreamMarker, 'slot' | 'incarnation'>,
): Promise<StreamFacts> {
  const facts = await readStreamFacts(connection, cluster, slot);
  return { ...facts, pendingBytes: await pendingBytes(cluster, unit, incarnation) };
}

async function pendingBytes(cluster: Cluster, unit: UnitFolder, incarnation: number): Promise<number> {
  const { finished } = await readReceived(streamFolder(unit, incarnation));
  if (finished.length <= 1) return 0; // The newest stays until the next one is there.
  const { segmentSize } = await readControlData(cluster.binaries, cluster.dataDirectory);
  return (finished.length - 1) * segmentSize;
}

async function ask(of: StreamOf): Promise<StreamFacts | undefined> {
  const marker = await readStreamMarker(of.unit);
  if (marker === undefined) return undefined;
  return await withConnection(of.cluster, async (connection) => await readStream(connection, of, marker));
}

/** Tells whether the server keeps all WAL that a stream of ours has not received yet. */
export async function isStreaming(of: StreamOf): Promise<boolean> {
  return (await ask(of))?.slot?.isLost === false;
}

/** Something that changes whenever the stream gets on; empty where there is none. */
export async function streamActivity(of: StreamOf): Promise<string> {
  const slot = (await ask(of))?.slot;
  return slot?.restartLsn === undefined ? '' : formatLsn(slot.restartLsn);
}

/** How the stream goes, for who waits for it in vain; `undefined` where there is none. */
export async function explainStream(of: StreamOf): Promise<string | undefined> {
  const facts = await ask(of);
  if (facts?.slot === undefined) return undefined;
  const who = facts.slot.activePid === undefined ? 'nobody receives from' : 'WAL is received from';
  return `${who} the replication slot, which keeps ${formatBytes(facts.keptBytes)}; ${formatBytes(facts.pendingBytes)} received are not stored; ${formatBytes(streamBound(facts))} may wait`;
}

/** Says why nothing can be received here, or `undefined`: the server's settings, its pg_hba.conf, or nobody who would. */
export async function findRefusal(of: StreamOf, facts: StreamFacts): Promise<StreamFact['refusal']> {
  const refusal = refuseStream(facts);
  if (refusal !== undefined || facts.slot?.activePid !== undefined) return refusal;
  try {
    const client = await connectReplication(of.cluster);
    await client.end();
  } catch (error) {
    const { message, hint } = toFailure(error);
    return { why: message, hint };
  }
  if (facts.slot !== undefined || (await isLockHeld(of.unit.lock('archiver')))) return undefined;
  return {
    why: 'the archiver, which would receive it, does not run',
    hint: `Look at it: systemctl list-units 'landscape-backup*archiver*'; without Juju: systemctl enable --now landscape-backup-archiver@${of.cluster.unit}. Or set wal-method to archive.`,
  };
}

/** How the stream goes, for a status; `undefined` where the settings want none or this unit owns nothing. */
export async function readStreamFact(
  connection: Connection,
  of: StreamOf & { readonly settings: Pick<Settings, 'walArchiving' | 'walMethod'> },
): Promise<StreamFact | undefined> {
  const owner = await readOwnerState(of.unit);
  if (!of.settings.walArchiving || of.settings.walMethod !== 'stream' || owner === undefined) return undefined;
  const facts = await readStream(connection, of, { slot: slotName(owner.ownerId), incarnation: owner.incarnation });
  const { slot, keptBytes, pendingBytes } = facts;
  return {
    refusal: await findRefusal(of, facts),
    slot: slot === undefined ? 'absent' : slot.isLost ? 'lost' : 'good',
    isReceived: slot?.activePid !== undefined,
    waitingBytes: keptBytes + pendingBytes,
    boundBytes: streamBound(facts),
    isNearBound: isNearBound(facts),
  };
}
