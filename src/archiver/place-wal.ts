import { open, readdir, rename, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { readWalHeader, walHeaderFault, walHeaderLength } from '../core/wal-header.ts';
import type { WalName } from '../core/wal-name.ts';
import { type Place } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { readPart } from '../repository/wal-parts.ts';
import { readWal, walKeyIn } from '../repository/wal-store.ts';
import { errorCode, randomName } from '../system/files.ts';
import { historyFault } from './check-wal-file.ts';

const temporaryPattern = /^\.landscape-backup\.[0-9a-f]+\.tmp$/;
const historyLimit = 1024 * 1024;

/** What is fetched, for whom. */
export interface Wanted {
  readonly name: WalName;
  /** Where PostgreSQL expects it: `%p`, made absolute. */
  readonly target: string;
  readonly segmentSize: number | undefined;
  /** Only this much of the segment is wanted, and zeros behind it. */
  readonly part?: number | undefined;
  /** Tells whether the front that started us still waits. */
  readonly isWanted: () => boolean;
}

/**
 * Removes what an earlier call left beside the target. A call whose front was killed may still run: without its temporary
 * file it can't put an old segment in the place of the one that PostgreSQL asks for now.
 */
export async function sweepBeside(target: string): Promise<void> {
  const folder = dirname(target);
  try {
    for (const name of await readdir(folder)) {
      if (temporaryPattern.test(name)) await unlink(join(folder, name));
    }
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw localFailure(folder, error);
  }
}

/**
 * Puts a stored WAL file, verified by its seal and by its own header, where PostgreSQL expects it.
 *
 * It appears there whole or not at all. It is not synced: PostgreSQL syncs it when it keeps it (durable_rename in
 * KeepFileRestoredFromArchive) and asks again after a crash. Fails with `missing` when it is positively not stored, with
 * `damaged`, with what the destination says, or with `machine`.
 */
export async function placeWal(repository: Repository, place: Place, wanted: Wanted): Promise<void> {
  const temporary = join(dirname(wanted.target), `.landscape-backup.${randomName()}.tmp`);
  let handle: FileHandle;
  try {
    handle = await open(temporary, 'wx', 0o600);
  } catch (error) {
    throw localFailure(temporary, error);
  }
  try {
    const written = await fetch(repository, place, wanted, handle);
    const fault = faultOf(wanted, written, place.systemIdentifier);
    if (fault !== undefined) {
      throw new Failure('damaged', `the stored ${wanted.name.name} can't be what its name says: ${fault}`, {
        hint: 'Look for disk errors at the destination; landscape-backup list-backups shows what else can be restored.',
      });
    }
    if (!wanted.isWanted()) throw new Failure('refused', `nobody waits for ${wanted.name.name} any more`);
    await rename(temporary, wanted.target);
  } catch (error) {
    await unlink(temporary).catch(() => undefined); // The next call sweeps it.
    throw localFailure(wanted.target, error);
  }
}

interface Written {
  readonly sizeBytes: number;
  /** Its first bytes: a segment's header, a history as a whole. */
  readonly head: Buffer;
}

async function fetch(repository: Repository, place: Place, wanted: Wanted, handle: FileHandle): Promise<Written> {
  const { name, part, segmentSize } = wanted;
  const headLimit = name.kind === 'history' ? historyLimit : walHeaderLength;
  let head = Buffer.alloc(0);
  let sizeBytes = 0;
  try {
    const body =
      part === undefined
        ? readWal(repository, walKeyIn(repository, place, name.name))
        : readPart(repository, place, { name: name.name, length: part, segmentSize });
    for await (const chunk of body) {
      if (head.byteLength < headLimit) head = Buffer.concat([head, chunk.subarray(0, headLimit - head.byteLength)]);
      for (let written = 0; written < chunk.byteLength;) {
        written += (await handle.write(chunk, written)).bytesWritten;
      }
      sizeBytes += chunk.byteLength;
    }
  } finally {
    await handle.close();
  }
  return { sizeBytes, head };
}

function faultOf({ name, segmentSize }: Wanted, written: Written, systemIdentifier: string): string | undefined {
  const { head, sizeBytes } = written;
  if (name.kind === 'history') {
    return sizeBytes > historyLimit ? `it is ${sizeBytes} bytes long` : historyFault(head.toString('utf8'), name);
  }
  if (name.kind === 'backup') return undefined;
  const header = readWalHeader(head);
  if (typeof header === 'string') return header;
  if (segmentSize !== undefined && header.segmentSize !== segmentSize) {
    return `its segments are ${header.segmentSize} bytes long, this cluster's ${segmentSize}`;
  }
  return walHeaderFault(name, header, { sizeBytes, systemIdentifier });
}

function localFailure(path: string, error: unknown): Failure {
  if (error instanceof Failure) return error;
  return new Failure('machine', `${path} could not be written: ${errorCode(error) ?? String(error)}`, {
    hint: 'Has its disk room, and does it belong to the user who runs PostgreSQL?',
    cause: error,
  });
}
