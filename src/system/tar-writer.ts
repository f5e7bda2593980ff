import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Failure } from '../core/failure.ts';
import { readExactly, type TreeEntry } from './file-tree.ts';
import { holdDirectory, type HeldDirectory } from './held-directory.ts';
import { tarHeaders } from './tar-header-writer.ts';
import { tarBlock, tarPadding } from './tar-header.ts';

/**
 * A tree as a tar that every `tar` reads (POSIX.1-2001): owners by name, links as links, the same bytes for the same tree.
 *
 * It is made as it is read and never held. Every file must still be what the tree says, else that is a `busy` failure; one
 * that has grown since is stored as it was.
 */
export async function* writeTar(root: string, entries: readonly TreeEntry[]): AsyncIterable<Uint8Array> {
  let folder: { readonly path: string; readonly held: HeldDirectory } | undefined;
  try {
    for (const entry of entries) {
      yield tarHeaders({ ...entry, name: entry.path.slice(1) + (entry.kind === 'directory' ? '/' : '') });
      if (entry.kind !== 'file') continue;
      const path = dirname(entry.path);
      if (folder?.path !== path) {
        await folder?.held.close();
        folder = undefined;
        folder = { path, held: await holdAgain(root, entry.path) };
      }
      yield* contentsOf(folder.held, entry);
      yield Buffer.alloc(tarPadding(entry.sizeBytes));
    }
  } finally {
    await folder?.held.close();
  }
  yield Buffer.alloc(2 * tarBlock);
}

async function holdAgain(root: string, path: string): Promise<HeldDirectory> {
  try {
    return await holdDirectory(root, dirname(path));
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw changed(path, error);
  }
}

async function* contentsOf(folder: HeldDirectory, entry: TreeEntry): AsyncIterable<Uint8Array> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(folder.at(basename(entry.path)), flags).catch((error: unknown) => {
    throw changed(entry.path, error);
  });
  try {
    const hash = createHash('sha256');
    for await (const chunk of readExactly(handle, entry.sizeBytes, entry.path)) {
      hash.update(chunk);
      yield chunk;
    }
    if (hash.digest('hex') !== entry.sha256) throw changed(entry.path, undefined);
  } finally {
    await handle.close();
  }
}

function changed(path: string, cause: unknown): Failure {
  return new Failure('busy', `${path} changed while it was read`, { cause });
}
