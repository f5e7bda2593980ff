import { constants } from 'node:fs';
import { open, rename, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Failure, isFailure } from '../core/failure.ts';
import { joinRecords, journalRecordSchema, type JournalRecord } from '../core/journal-record.ts';
import { errorCode, readText, syncDirectory } from './files.ts';
import type { UnitFolder } from './home.ts';
import { takeLock } from './lock.ts';

/** The journal and the one before it together never take more than twice this. */
const rotateAtBytes = 1024 * 1024;

/**
 * Appends a line to the unit's journal, durably. Any number of processes may append at once.
 *
 * A line that a lost power supply cut short stays behind as a line of its own that nobody can read. Fails with `machine`.
 */
export async function appendJournal(unit: UnitFolder, record: JournalRecord): Promise<void> {
  const line = `${JSON.stringify(journalRecordSchema.encode(record))}\n`;
  try {
    const isNew = await appendLine(unit.journal, line);
    if (isNew) await syncDirectory(dirname(unit.journal));
    await rotate(unit);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(
      'machine',
      `the journal ${unit.journal} could not be written: ${errorCode(error) ?? String(error)}`,
      {
        hint: 'Is the disk full, and does this program run as the owner of the cluster?',
        cause: error,
      },
    );
  }
}

/** The jobs of a unit, oldest first, as far as the journal reaches back; lines that can't be read are passed over. */
export async function readJournal(unit: UnitFolder): Promise<readonly JournalRecord[]> {
  // The current file first: when it moves in between, it is read twice and joined, never missed.
  const [current, older] = [await readText(unit.journal), await readText(rotated(unit))];
  return joinRecords([...readLines(older), ...readLines(current)]);
}

function rotated(unit: UnitFolder): string {
  return `${unit.journal}.1`;
}

async function appendLine(path: string, line: string): Promise<boolean> {
  const handle = await open(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, 0o600);
  try {
    const { size } = await handle.stat();
    // One write: with O_APPEND lines of two processes follow each other and never mix.
    await handle.appendFile((await endsInLine(handle, size)) ? line : `\n${line}`);
    await handle.sync();
    return size === 0;
  } finally {
    await handle.close();
  }
}

async function endsInLine(handle: FileHandle, size: number): Promise<boolean> {
  if (size === 0) return true;
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer[0] === 0x0a;
}

/** Puts a large journal aside in the place of the one before. Who finds another at it leaves it to the other. */
async function rotate(unit: UnitFolder): Promise<void> {
  if (!(await isLarge(unit.journal))) return;
  try {
    const lock = await takeLock(unit.lock('journal'), 'the rotation of the journal');
    try {
      if (await isLarge(unit.journal)) await rename(unit.journal, rotated(unit));
      await syncDirectory(dirname(unit.journal));
    } finally {
      await lock.release();
    }
  } catch (error) {
    if (!isFailure(error, 'busy')) throw error;
  }
}

async function isLarge(path: string): Promise<boolean> {
  try {
    return (await stat(path)).size > rotateAtBytes;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

function readLines(text: string | undefined): readonly JournalRecord[] {
  return (text ?? '').split('\n').flatMap((line) => {
    const record = readLine(line);
    return record === undefined ? [] : [record];
  });
}

function readLine(line: string): JournalRecord | undefined {
  try {
    return journalRecordSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined; // Cut short when the power went: it says nothing any more.
  }
}
