import { layout } from './layout.ts';

/**
 * How an object is treated when a repository is copied.
 *
 * - `claim`: who owns an incarnation; goes before anything of it
 * - `data`: what records speak of
 * - `record`: what makes data count; goes after it
 * - `replaced`: what says which data counts in the place of other; goes after it and before the record
 * - `appended`: a record of a growing row, whose number may be another one in the copy
 * - `left`: what says nothing anywhere else
 */
export type CopyClass = 'claim' | 'data' | 'replaced' | 'record' | 'appended' | 'left';

/** What lies in a copy that is being made, beside what it has by then. */
export const copyMark = 'copy.json';

/** Leases are of jobs that read or write where the lease lies, sweeps are of listings there; probes mean nothing. */
const leftIn = /^clusters\/\d+\/\d+\/(?:(?:probes|leases|guests)\/|rewrap\/\d{8}\.json$)/;

export function copyClass(key: string): CopyClass {
  if ([layout.repository, layout.readme, copyMark].includes(key)) return 'left';
  if (/^clusters\/\d+\/\d+\/guests\/README\.txt$/.test(key)) return 'data';
  if (leftIn.test(key)) return 'left';
  if (/^clusters\/\d+\/\d+\/owner\.json$/.test(key)) return 'claim';
  if (/^clusters\/\d+\/\d+\/base\/[^/]+\/backup\.json$/.test(key) || /^files\/.*\/files\.json$/.test(key)) {
    return 'record';
  }
  if (/^clusters\/\d+\/\d+\/base\/[^/]+\/rewrap\/\d{8}\.json$/.test(key)) return 'replaced';
  if (/^clusters\/\d+\/\d+\/(?:witness|points|holes|marks\/[^/]+)\/\d{8}\.json$/.test(key)) return 'appended';
  return 'data';
}

/** The folder of an object, with a slash at its end. */
export function folderOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/') + 1);
}

/** The folder of the incarnation that an object belongs to; `undefined` for file sets and what lies above. */
export function incarnationOf(key: string): string | undefined {
  return /^clusters\/\d+\/\d+\//.exec(key)?.[0];
}

/** The folder whose record must be there before this object is of any use; `undefined` where it needs none. */
export function recordFolder(key: string): string | undefined {
  const base = /^clusters\/\d+\/\d+\/base\/[^/]+\//.exec(key)?.[0];
  if (base !== undefined) return base;
  return /^files\/[^/]+\/[^/]+\/[^/]+\/[^/]+\//.exec(key)?.[0];
}

/** An object of the original, and how long the one of that key is in the copy. */
export interface Compared {
  readonly key: string;
  readonly sizeBytes: number;
  readonly there: number | undefined;
}

interface Listed {
  readonly key: string;
  readonly sizeBytes: number;
}

/** Goes through two listings side by side, both in the order of their keys' bytes; what only the copy has is passed over. */
export async function* compareListings(
  original: AsyncIterable<Listed>,
  copy: AsyncIterable<Listed>,
): AsyncIterable<Compared> {
  const others = copy[Symbol.asyncIterator]();
  try {
    let other = await others.next();
    for await (const { key, sizeBytes } of original) {
      while (other.done !== true && other.value.key < key) other = await others.next();
      const there = other.done !== true && other.value.key === key ? other.value.sizeBytes : undefined;
      yield { key, sizeBytes, there };
    }
  } finally {
    await others.return?.();
  }
}
