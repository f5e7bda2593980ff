import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDirectory } from '../../src/storage/directory.ts';
import type { Storage } from '../../src/storage/storage.ts';

/** A directory as a destination, and how to take it away. */
export interface TemporaryDirectory {
  readonly path: string;
  open(): Promise<Storage>;
  destroy(): Promise<void>;
}

/** Makes an empty directory that several users could share: mode 2770. */
export async function temporaryDirectory(): Promise<TemporaryDirectory> {
  const path = await mkdtemp(join(tmpdir(), 'lb-storage-'));
  await chmod(path, 0o2770);
  return {
    path,
    open: async () => await openAt(path),
    destroy: async () => await rm(path, { recursive: true, force: true }),
  };
}

/** Opens a directory whose folders below `shared` are for several users. */
export async function openAt(path: string): Promise<Storage> {
  return await openDirectory(path, {
    url: `file://${path}`,
    isShared: (folder) => /^shared(\/|$)/.test(folder),
  });
}
