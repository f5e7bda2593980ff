import { buffer } from 'node:stream/consumers';
import { openPromise } from 'yauzl';
import type { CharmEntry } from './charm-rules.ts';

/** Reads a packed charm: every entry with its raw name and mode, and what small ones hold. */
export async function readCharm(path: string): Promise<readonly CharmEntry[]> {
  const zip = await openPromise(path, { strictFileNames: true, lazyEntries: true, autoClose: false });
  const entries: CharmEntry[] = [];
  try {
    for await (const entry of zip.eachEntry()) {
      const isSmall = entry.uncompressedSize < 1_000_000 && !entry.fileName.endsWith('/');
      const text = isSmall ? (await buffer(await zip.openReadStreamPromise(entry))).toString('utf8') : undefined;
      entries.push({ name: entry.fileName, mode: entry.externalFileAttributes >>> 16, text });
    }
  } finally {
    zip.close();
  }
  return entries;
}
