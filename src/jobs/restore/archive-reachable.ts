import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { archiveFile } from '../../archiver/archive-wal.ts';
import { isFailure, toFailure } from '../../core/failure.ts';
import { readWalHeader, walHeaderFault, walHeaderLength } from '../../core/wal-header.ts';
import { parseWalName, readWalName, segmentEndingAt, segmentName, segmentOf } from '../../core/wal-name.ts';
import { readControlData, type ControlData } from '../../postgres/control-data.ts';
import { withConnection } from '../../postgres/query.ts';
import { currentLsn } from '../../postgres/reload.ts';
import { readArchiverCounts, switchSegment } from '../../postgres/segment-switch.ts';
import { readServer } from '../../postgres/archiving-facts.ts';
import { walDirectory } from '../../postgres/timeline-history.ts';
import { errorCode } from '../../system/files.ts';
import type { OwnerState } from '../../system/home.ts';
import { awaitSegments } from '../wal-arrival.ts';
import { usualPatience, type RestoreContext } from './restore-context.ts';

/**
 * Lets the running server archive what it has written, before it is stopped. Gives back a sentence about what did not arrive:
 * once the server is down we try that ourselves.
 */
export async function archiveWhileRunning(context: RestoreContext, owner: OwnerState): Promise<readonly string[]> {
  const { cluster, repository, patience = usualPatience, progress } = context;
  const phase = 'archiving what is not archived yet';
  progress({ phase });
  try {
    const control = await readControlData(cluster.binaries, cluster.dataDirectory);
    const { first, last } = await withConnection(cluster, async (connection) => {
      const { versionNumber } = await readServer(connection);
      const from = await currentLsn(connection);
      return { first: from, last: await switchSegment(connection, versionNumber) };
    });
    const { segmentSize, timeline } = control;
    const wanted = {
      timeline,
      first: segmentOf(first, segmentSize),
      last: segmentEndingAt(last, segmentSize),
      segmentSize,
    };
    await awaitSegments(repository, owner, wanted, {
      activity: async () => {
        const { archived } = await withConnection(cluster, readArchiverCounts);
        return String(archived);
      },
      explain: async () => 'PostgreSQL does not archive it',
      stallMs: patience.archiveMs,
      signal: context.signal ?? new AbortController().signal,
      report: (missing) => {
        progress({ phase, note: `${missing} segments missing` });
      },
    });
    return [];
  } catch (error) {
    if (!isFailure(error, 'unavailable', 'postgres')) throw error;
    return [`While it ran, PostgreSQL did not archive all that it had: ${error.message}`];
  }
}

/**
 * Archives what a stopped server left: every segment that waits, and the unfinished last one as `.partial`. Gives back a
 * sentence about each file that could not be.
 */
export async function archiveLeftBehind(context: RestoreContext, owner: OwnerState): Promise<readonly string[]> {
  const folder = walDirectory(context.cluster);
  const waiting = await waitingFiles(folder);
  if (typeof waiting === 'string') return [waiting];
  const said: string[] = [];
  const archive = async (name: string, path: string) => {
    try {
      const file = { name: parseWalName(name), path };
      await archiveFile(context.repository, owner, file, {
        unit: context.unit,
        level: context.settings.compressionLevel,
      });
    } catch (error) {
      said.push(`${path} could not be archived: ${toFailure(error).message}`);
    }
  };
  for (const name of waiting) {
    if (readWalName(name) !== undefined) await archive(name, join(folder, name));
  }
  const left = await segmentsAfterCheckpoint(context, folder, owner.systemIdentifier);
  for (const name of left.slice(0, -1)) await archive(name, join(folder, name));
  const last = left.at(-1);
  if (last !== undefined && !(await isDone(folder, last))) await archive(`${last}.partial`, join(folder, last));
  return said;
}

async function waitingFiles(folder: string): Promise<readonly string[] | string> {
  try {
    const names = await readdir(join(folder, 'archive_status'));
    return names.flatMap((name) => /^(.*)\.ready$/.exec(name)?.[1] ?? []).sort();
  } catch (error) {
    return `${folder} could not be read (${errorCode(error) ?? String(error)}): what it held and was not archived is not in the repository.`;
  }
}

async function isDone(folder: string, name: string): Promise<boolean> {
  const names = await readdir(join(folder, 'archive_status'));
  return names.includes(`${name}.done`) || names.includes(`${name}.ready`);
}

/** The segments from the last checkpoint to the last that holds what its name says; those after it are old ones for reuse. */
async function segmentsAfterCheckpoint(
  { cluster }: RestoreContext,
  folder: string,
  systemIdentifier: string,
): Promise<readonly string[]> {
  let control: ControlData;
  try {
    control = await readControlData(cluster.binaries, cluster.dataDirectory);
  } catch (error) {
    if (isFailure(error, 'postgres')) return []; // A lost data directory: what waits has been archived above.
    throw error;
  }
  const { timeline, checkpointLsn, segmentSize } = control;
  const found: string[] = [];
  for (let number = segmentOf(checkpointLsn, segmentSize); ; number += 1) {
    const name = segmentName(timeline, number, segmentSize);
    if (!(await holdsItsName(join(folder, name), name, systemIdentifier))) return found;
    found.push(name);
  }
}

async function holdsItsName(path: string, name: string, systemIdentifier: string): Promise<boolean> {
  try {
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(walHeaderLength), 0, walHeaderLength, 0);
      const header = readWalHeader(buffer.subarray(0, bytesRead));
      const wal = parseWalName(name);
      if (typeof header === 'string' || wal.kind !== 'segment') return false;
      return walHeaderFault(wal, header, { sizeBytes: size, systemIdentifier }) === undefined;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
