import { randomBytes } from 'node:crypto';
import { Failure, isFailure } from '../core/failure.ts';
import type { Repository } from '../repository/repository.ts';
import { bytesOf } from '../repository/small-object.ts';
import { randomName } from '../system/files.ts';

const staleMs = 60 * 60 * 1000;

/**
 * Proves as this user, in a folder of probes, that the destination keeps what it promised: an object is stored, the same name is refused to other
 * bytes, and the first bytes come back. Gives back what was proven.
 */
export async function proveWriteOnce(repository: Repository, folder: string, now: Date): Promise<string> {
  const { storage } = repository;
  await removeStale(repository, folder, now);
  const key = `${folder}${now.getTime()}-${randomName()}`;
  const [first, second] = [randomBytes(64), randomBytes(64)];
  try {
    await storage.put(key, bytesOf(first));
    await refuseSecond(repository, key, second);
    if (!(await read(repository, key)).equals(first)) {
      throw new Failure('damaged', `${storage.url} gave back other bytes than were stored`, {
        hint: 'Look for disk errors at the destination.',
      });
    }
  } catch (error) {
    throw withLineToChange(error, repository);
  } finally {
    await storage.remove(key).catch(() => undefined); // What is left is swept by a later check.
  }
  return `uid ${process.geteuid?.() ?? '?'}, gid ${process.getegid?.() ?? '?'} stored an object at ${storage.url}, was refused to overwrite it, and read it back`;
}

async function refuseSecond({ storage }: Repository, key: string, bytes: Uint8Array): Promise<void> {
  try {
    await storage.put(key, bytesOf(bytes));
  } catch (error) {
    if (isFailure(error, 'conflict')) return;
    throw error;
  }
  throw new Failure('refused', `the destination ${storage.url} let an object be overwritten`, {
    hint: 'Use a directory on ext4, XFS, Btrfs, ZFS or NFS: this one can lose backups silently.',
  });
}

/** Where a right is missing, the line that gives it. */
function withLineToChange(error: unknown, { storage }: Repository): unknown {
  if (!isFailure(error, 'refused') || error.hint?.includes('uid') !== true) return error;
  const path = storage.url.replace('file://', '');
  const gid = process.getegid?.() ?? 0;
  return new Failure(error.kind, error.message, {
    hint: `${error.hint} For instance, where it is mounted: chgrp -R ${gid} ${path} && chmod 2770 ${path}`,
    cause: error,
  });
}

async function removeStale({ storage }: Repository, folder: string, now: Date): Promise<void> {
  for (const name of await storage.folders(folder)) {
    const made = Number(/^(\d+)-/.exec(name)?.[1] ?? Infinity);
    if (now.getTime() - made > staleMs) await storage.remove(folder + name);
  }
}

async function read(repository: Repository, key: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await repository.read(key)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
