import { readReceived } from '../archiver/stream-folder.ts';
import type { LocalWal } from '../core/wal-line.ts';
import { readStreamMarker, streamFolder } from '../system/stream-marker.ts';
import type { JobContext } from './job-context.ts';

/**
 * What a server says of its WAL files, where a stream takes them: whatever somebody else's archiver has marked, what is still
 * there waits for us, and so does what we have received and not stored.
 *
 * What a slot keeps is there: PostgreSQL removes nothing from its restart LSN on.
 */
export async function withStreamed({ unit }: Pick<JobContext, 'unit'>, local: LocalWal): Promise<LocalWal> {
  const marker = await readStreamMarker(unit);
  if (marker === undefined) return local;
  const { finished, unfinished } = await readReceived(streamFolder(unit, marker.incarnation));
  const received = [...finished, ...unfinished.map(({ segment }) => segment)].map(({ name }) => name);
  return new Map([...local.keys(), ...received].map((name) => [name, 'waits'] as const));
}
