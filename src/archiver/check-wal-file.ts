import { open, type FileHandle } from 'node:fs/promises';
import { Failure } from '../core/failure.ts';
import { parseHistory } from '../core/timeline.ts';
import { readWalHeader, walHeaderFault, walHeaderLength } from '../core/wal-header.ts';
import type { WalName } from '../core/wal-name.ts';
import { errorCode } from '../system/files.ts';

/** Far above what PostgreSQL writes: a history has one line per timeline, a backup's label a dozen. */
const textLimit = 1024 * 1024;

/**
 * Checks that a file in `pg_wal` can be what its name says, by what is in it, before it is stored.
 *
 * Fails with `refused` when it can't, and with `machine` when it can't be read.
 */
export async function checkWalFile(path: string, name: WalName, systemIdentifier: string): Promise<void> {
  const handle = await openWalFile(path);
  try {
    const fault = await faultOf(handle, name, systemIdentifier);
    if (fault === undefined) return;
    throw new Failure('refused', `${path} can't be what its name says: ${fault}`, {
      hint: 'It stays in pg_wal. Is this the cluster that the unit owns, and is its disk healthy?',
    });
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure('machine', `${path} could not be read: ${errorCode(error) ?? String(error)}`, { cause: error });
  } finally {
    await handle.close();
  }
}

async function openWalFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    throw new Failure('machine', `${path} could not be opened: ${errorCode(error) ?? String(error)}`, { cause: error });
  }
}

async function faultOf(handle: FileHandle, name: WalName, systemIdentifier: string): Promise<string | undefined> {
  const stats = await handle.stat();
  if (!stats.isFile()) return 'it is not a file';
  const sizeBytes = stats.size;
  if (name.kind === 'segment' || name.kind === 'partial') {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(walHeaderLength), 0, walHeaderLength, 0);
    const header = readWalHeader(buffer.subarray(0, bytesRead));
    return typeof header === 'string' ? header : walHeaderFault(name, header, { sizeBytes, systemIdentifier });
  }
  if (sizeBytes > textLimit) return `it is ${sizeBytes} bytes long`;
  const text = await handle.readFile('utf8');
  if (name.kind === 'history') return historyFault(text, name);
  return text.startsWith('START WAL LOCATION: ') ? undefined : 'it does not begin like a backup label';
}

/** Says why this text can't be the history of that timeline, or `undefined` when it can. */
export function historyFault(text: string, name: Extract<WalName, { kind: 'history' }>): string | undefined {
  try {
    const last = parseHistory(text, name.name).at(-1);
    if (last === undefined) return 'it names no parent';
    return last.parent < name.timeline ? undefined : `it continues timeline ${last.parent}`;
  } catch (error) {
    if (error instanceof Failure) return error.message;
    throw error;
  }
}
