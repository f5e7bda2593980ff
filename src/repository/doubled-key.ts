import { copyClass } from './copy-order.ts';
import { layout } from './layout.ts';

/**
 * How an object is kept at two destinations.
 *
 * - `first`: at the first only; it speaks of that destination, or of who is there. Marks are a prune's own.
 * - `claim`: at the first, then at the second, and never where the second says otherwise
 * - `wal`: at both, or at that which takes it
 * - `data`: at the first, and at the second when that takes it
 * - `record`: as data, but at the second only after all that was stored before it
 */
export type DoubledClass = 'first' | 'claim' | 'wal' | 'data' | 'record';

export function doubledClass(key: string): DoubledClass {
  if (/^(?:clusters\/\d+\/\d+\/marks|files\/[^/]+\/[^/]+\/[^/]+\/probes)\//.test(key)) return 'first';
  switch (copyClass(key)) {
    case 'claim':
      return 'claim';
    case 'record':
    case 'replaced':
    case 'appended':
      return 'record';
    case 'left':
      // Those of a backup that runs keep a prune of the second from what it stores there.
      return /^clusters\/\d+\/\d+\/leases\//.test(key) ? 'data' : 'first';
    case 'data':
      return /^clusters\/\d+\/\d+\/wal\//.test(key) ? 'wal' : 'data';
  }
}

/** Tells whether a record may say more than the second has, as long as that lacks this object. */
export function isBefore(lacked: string, record: string): boolean {
  const line = (key: string) => /^(?:clusters\/\d+\/\d+\/|files\/[^/]+\/[^/]+\/[^/]+\/)/.exec(key)?.[0];
  return line(lacked) === line(record) && doubledClass(lacked) !== 'record';
}

/** The claim of the incarnation that an object belongs to. */
export function claimOf(key: string): string | undefined {
  const folder = /^clusters\/\d+\/\d+\//.exec(key)?.[0];
  return folder === undefined || !folder.startsWith(layout.clusters) ? undefined : `${folder}owner.json`;
}
