import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import type { WalName } from '../core/wal-name.ts';
import type { Repository } from '../repository/repository.ts';
import { onePassLimit, storeWal, storeWalInOnePass, type Stored } from '../repository/wal-store.ts';
import { isSameState, stateOf, type FileState } from '../system/file-stamps.ts';
import { withFile } from '../system/files.ts';
import type { OwnerState, UnitFolder } from '../system/home.ts';
import { explained } from './archive-wal.ts';
import { checkWalFile } from './check-wal-file.ts';
import type { ArchiveSpool } from './spool.ts';
import type { WalSteps } from './wal-steps.ts';

/** What one archiver works with as long as nothing about it changes. */
export interface PushSession {
  readonly unit: UnitFolder;
  readonly repository: Repository;
  readonly owner: OwnerState;
  readonly spool: ArchiveSpool;
  readonly dataDirectory: string;
  readonly level: number;
  readonly step: WalSteps;
}

/** From these levels on zstd keeps tens of MiB for each segment that it compresses. */
const costlyLevel = 7;
const costliestLevel = 10;

/**
 * How many segments of this size may be under way at once: what they compress to stays below 64 MiB together, and what the
 * compressor keeps too.
 */
export function parallelPushes(segmentSize: number, cores: number, level: number): number {
  if (level >= costliestLevel) return 1;
  const fit = Math.min(Math.floor(onePassLimit / segmentSize), level >= costlyLevel ? 2 : Infinity);
  return Math.max(1, Math.min(fit, cores + 2, 4));
}

/** The path of a WAL file in a data directory. */
export function walPath(dataDirectory: string, name: string): string {
  return join(dataDirectory, 'pg_wal', name);
}

/**
 * Stores one WAL file that PostgreSQL wants archived, and acknowledges it in the spool when it is durable.
 *
 * `changed`: the file is not the one that was looked at any more (PostgreSQL recycles what is archived), or its acknowledgement
 * does not hold; nothing is acknowledged then. Fails as `archiveFile` does, and with `refused` when the spool is not in force any
 * more.
 */
export async function pushWal(session: PushSession, name: WalName): Promise<Stored | 'changed'> {
  const { owner, spool, step } = session;
  const path = walPath(session.dataDirectory, name.name);
  const state = stateOf(path);
  if (state === undefined) return 'changed';
  if (!spool.isInForce()) throw new Failure('refused', `who this unit is changed before ${name.name} was stored`);
  step('file found');
  let stored: Stored;
  try {
    await checkWalFile(path, name, owner.systemIdentifier);
    stored = await storeUnchanged(session, name, path, state);
  } catch (error) {
    if (!isSameState(state, stateOf(path))) return 'changed';
    throw await explained(error, session, { name, path });
  }
  step('file stored');
  if (!isSameState(state, stateOf(path))) return 'changed';
  spool.acknowledge(name.name, state);
  // Whoever looks again at once would store it again, and again.
  return spool.isAcknowledged(name.name, state) ? stored : 'changed';
}

/** What storing a WAL file takes. */
export type StoreSession = Pick<PushSession, 'repository' | 'owner' | 'level' | 'step'>;

/** Stores a WAL file that is in this state; while it is read once where its size allows. */
export async function storeUnchanged(
  session: StoreSession,
  name: WalName,
  path: string,
  state: FileState,
): Promise<Stored> {
  const { repository, owner, level } = session;
  if (state.sizeBytes > onePassLimit) return await storeWal(repository, owner, name, path, level);
  return await storeOnce(session, name, path, state);
}

/** Nothing is stored when the file is not in this state any more after it was read. */
async function storeOnce(session: StoreSession, name: WalName, path: string, state: FileState): Promise<Stored> {
  const { repository, owner, level, step } = session;
  return await withFile(path, async (fill) => {
    const read = async (buffer: Uint8Array): Promise<number> => {
      const count = await fill(buffer);
      if (count > 0) return count;
      if (!isSameState(state, stateOf(path))) throw new Failure('damaged', `${path} changed while it was read`);
      step('file read');
      return 0;
    };
    return await storeWalInOnePass(repository, owner, name, { read, length: Number(state.sizeBytes) }, level);
  });
}
