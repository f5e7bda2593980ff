import { mkdir, mkdtemp, open, readdir, rename, rm, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, isFailure } from '../core/failure.ts';
import { segmentAt, type Stretch } from '../core/restorable.ts';
import { readWalHeader, walHeaderFault } from '../core/wal-header.ts';
import { parseWalName, segmentName } from '../core/wal-name.ts';
import type { Repository } from '../repository/repository.ts';
import { readPart } from '../repository/wal-parts.ts';
import { readWal, walKeyIn } from '../repository/wal-store.ts';
import { errorCode } from '../system/files.ts';

/** Which stored segments are read, and where they may lie meanwhile. */
export interface WalSource {
  readonly repository: Repository;
  readonly systemIdentifier: string;
  readonly segmentSize: number;
  /** The segments of a way, without a gap. */
  readonly stretches: readonly Stretch[];
  /** A folder of ours on this machine; what is fetched lies in a folder below it, a few segments at a time. */
  readonly scratch: string;
}

/** Segments that were fetched and verified, all under the name of one timeline as `pg_waldump` wants it. */
export interface WalScratch {
  readonly directory: string;
  /** The timeline in the files' names; what is in them may be an ancestor's. */
  readonly timeline: number;
  /** Fetches a segment unless it is there; says how many bytes at its beginning belong to a record from before it. */
  fetch(segment: number): Promise<number>;
  /** Removes the segments before this one. */
  dropBefore(segment: number): Promise<void>;
  remove(): Promise<void>;
}

const namePrefix = 'wal-';

/** Opens an empty scratch folder; those that a killed process left behind are removed. */
export async function openWalScratch(source: WalSource): Promise<WalScratch> {
  const directory = await makeFolder(source.scratch);
  const held = new Map<number, Promise<number>>();
  const timeline = source.stretches.at(-1)?.timeline ?? 1;
  const pathOf = (segment: number) => join(directory, segmentName(timeline, segment, source.segmentSize));
  return {
    directory,
    timeline,
    fetch: async (segment) => {
      // Who asks while somebody else fetches it waits for the same answer.
      const fetching = held.get(segment) ?? fetchSegment(source, segment, pathOf(segment));
      held.set(segment, fetching);
      return await fetching;
    },
    dropBefore: async (segment) => {
      for (const each of [...held.keys()].filter((number) => number < segment)) {
        await unlink(pathOf(each));
        held.delete(each);
      }
    },
    remove: async () => {
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function makeFolder(scratch: string): Promise<string> {
  try {
    await mkdir(scratch, { recursive: true, mode: 0o700 });
    await removeLeftovers(scratch);
    return await mkdtemp(join(scratch, `${namePrefix}${process.pid}-`));
  } catch (error) {
    throw new Failure('machine', `no WAL can be read in ${scratch}: ${errorCode(error) ?? String(error)}`, {
      hint: 'Is there room, and does this program run as the owner of the cluster?',
      cause: error,
    });
  }
}

/** The folders of processes that no longer run: their number is in the name. */
async function removeLeftovers(scratch: string): Promise<void> {
  for (const name of await readdir(scratch)) {
    const pid = Number(/^wal-(\d+)-/.exec(name)?.[1] ?? Number.NaN);
    if (!Number.isNaN(pid) && !isAlive(pid)) await rm(join(scratch, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}

async function fetchSegment(source: WalSource, segment: number, path: string): Promise<number> {
  const stored = segmentAt(source.stretches, segment);
  if (stored === undefined) throw new Failure('internal', `segment number ${segment} is not part of what is read`);
  const name = segmentName(stored.timeline, segment, source.segmentSize);
  try {
    // pg_waldump opens any segment in the folder to learn how large they are: none may be there in part.
    const coming = `${path}.coming`;
    const handle = await open(coming, 'wx+', 0o600);
    try {
      const sizeBytes = await write(handle, bodyOf(source, stored, name));
      const continued = await verify(handle, { name, sizeBytes, systemIdentifier: source.systemIdentifier });
      await rename(coming, path);
      return continued;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!isFailure(error)) {
      throw new Failure(
        'machine',
        `the WAL segment ${name} could not be written to ${path}: ${errorCode(error) ?? String(error)}`,
        {
          hint: 'Plans need some hundred MiB of room there while they are made.',
          cause: error,
        },
      );
    }
    if (!isFailure(error, 'damaged', 'missing')) throw error;
    throw new Failure(
      error.kind,
      `the WAL segment ${name} of incarnation ${stored.incarnation} can't be used: ${error.message}`,
      {
        hint: 'A restore can go to a point before it, or start from a backup that was taken after it: landscape-backup list-backups.',
        cause: error,
      },
    );
  }
}

function bodyOf(source: WalSource, { incarnation, part }: Stretch, name: string): AsyncIterable<Uint8Array> {
  const { repository, systemIdentifier, segmentSize } = source;
  const place = { systemIdentifier, incarnation };
  if (part === undefined) return readWal(repository, walKeyIn(repository, place, name));
  return readPart(repository, place, { name, length: part, segmentSize });
}

async function write(handle: FileHandle, body: AsyncIterable<Uint8Array>): Promise<number> {
  let written = 0;
  for await (const chunk of body) {
    await handle.writeFile(chunk);
    written += chunk.byteLength;
  }
  return written;
}

const continuationFlag = 0x0001;
const wholeHeader = 40;

/** Compares the segment's header with its name; gives back how much of it continues a record. */
async function verify(
  handle: FileHandle,
  file: { name: string; sizeBytes: number; systemIdentifier: string },
): Promise<number> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(wholeHeader), 0, wholeHeader, 0);
  const header = readWalHeader(buffer.subarray(0, bytesRead));
  if (typeof header === 'string') throw new Failure('damaged', header);
  const wal = parseWalName(file.name);
  const fault = wal.kind === 'segment' ? walHeaderFault(wal, header, file) : 'it is none';
  if (fault !== undefined) throw new Failure('damaged', fault);
  // Source: XLogPageHeaderData in xlog_internal.h: xlp_info at 2, xlp_rem_len at 16.
  return (buffer.readUInt16LE(2) & continuationFlag) === 0 ? 0 : buffer.readUInt32LE(16);
}
