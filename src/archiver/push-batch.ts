import type { WalName } from '../core/wal-name.ts';
import { stateOf } from '../system/file-stamps.ts';
import { walPath } from './push-wal.ts';
import type { ArchiveSpool } from './spool.ts';

/** As much of the queue as is worked on before it is looked at again. */
const mostInBatch = 64;
/** More acknowledgements than PostgreSQL fetches in seconds; it is not calling when there are so many. */
export const mostAcknowledged = 512;

/** What of the queue is worked on before it is looked at again. */
export interface Batch {
  readonly names: readonly WalName[];
  /** Nothing else waits that could be pushed. */
  readonly isAll: boolean;
}

/** The oldest of what waits, is not acknowledged and not under way, which will be. */
export function batchOf(
  spool: ArchiveSpool,
  dataDirectory: string,
  waiting: readonly WalName[],
  underWay: ReadonlySet<string> = new Set(),
): Batch {
  const acknowledged = spool.acknowledged();
  const open = waiting.filter(({ name }) => {
    if (underWay.has(name)) return false;
    const state = stateOf(walPath(dataDirectory, name));
    if (state === undefined) return false;
    if (!acknowledged.has(name)) return true;
    if (spool.isAcknowledged(name, state)) return false;
    spool.forget(name); // Of other bytes, or half of one: who calls would not wait for a better one.
    return true;
  });
  const room = mostAcknowledged - acknowledged.size - underWay.size;
  const names = open.slice(0, Math.max(0, Math.min(mostInBatch, room)));
  return { names, isAll: open.length === names.length };
}
