import type { StreamLook, StreamSource } from '../archiver/stream-source.ts';
import { refuseStream } from '../core/streaming.ts';
import type { Cluster } from '../postgres/cluster.ts';
import { readControlData } from '../postgres/control-data.ts';
import { withConnection } from '../postgres/query.ts';
import { startReceiver } from '../postgres/receive-wal.ts';
import { freeSlot, readStreamFacts } from '../postgres/slot.ts';
import { readWritingPlace, walDirectory } from '../postgres/timeline-history.ts';

/** A cluster as what WAL is streamed from. */
export function streamSource(cluster: Cluster): StreamSource {
  return {
    walFolder: walDirectory(cluster),
    dataDirectory: cluster.dataDirectory,
    look: async (slot) => await look(cluster, slot),
    receive: async (slot, folder) => {
      await withConnection(cluster, async (connection) => {
        await freeSlot(connection, slot);
      });
      return startReceiver(cluster, slot, folder);
    },
  };
}

async function look(cluster: Cluster, slot: string): Promise<StreamLook> {
  return await withConnection(cluster, async (connection) => {
    const writing = await readWritingPlace(connection, cluster);
    const { segmentSize } = await readControlData(cluster.binaries, cluster.dataDirectory);
    const facts = { ...(await readStreamFacts(connection, cluster, slot)), pendingBytes: 0 };
    const refusal = refuseStream(facts)?.why;
    const lost = facts.slot === undefined ? 'the slot is not there' : 'PostgreSQL has removed WAL that the slot needed';
    const isGood = refusal === undefined && facts.slot?.isLost === false;
    return {
      ...writing,
      segmentSize,
      slotLsn: isGood ? facts.slot?.restartLsn : undefined,
      why: isGood ? undefined : (refusal ?? lost),
    };
  });
}
