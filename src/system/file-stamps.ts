import { readlinkSync, renameSync, statSync, unlinkSync, utimesSync, writeFileSync, type BigIntStats } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { errorCode, randomName } from './files.ts';

/** Far finer than two writes can follow each other, and coarser than what Node can set. */
const marginNs = 3000n;

/** What tells one state of a file from every other: which file it is, and when it was last written. */
export interface FileState {
  readonly device: bigint;
  readonly inode: bigint;
  readonly sizeBytes: bigint;
  readonly modifiedNs: bigint;
}

/** The state of the file or directory that a path leads to; `undefined` when there positively is none. */
export function stateOf(path: string): FileState | undefined {
  const found = statOf(path);
  if (found === undefined) return undefined;
  return { device: found.dev, inode: found.ino, sizeBytes: found.size, modifiedNs: found.mtimeNs };
}

function statOf(path: string): BigIntStats | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false });
}

/** Tells whether a file is in the same state as before. */
export function isSameState(one: FileState | undefined, other: FileState | undefined): boolean {
  return isSameFile(one, other) && one?.sizeBytes === other?.sizeBytes && one?.modifiedNs === other?.modifiedNs;
}

/** Tells whether two are one file or directory: what `[ a -ef b ]` says. */
export function isSameFile(one: FileState | undefined, other: FileState | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  return one.device === other.device && one.inode === other.inode;
}

/**
 * Writes down when a file was last modified so that a shell can compare it without a program: two empty files, `<path>.lo` a
 * moment older and `<path>.hi` a moment newer. The file is unchanged while `[ file -nt lo ]` and `[ hi -nt file ]` are true.
 *
 * `.hi` comes last. Fails with `machine` where the file system keeps no times that are fine enough.
 */
export function writeStamps(path: string, modifiedNs: bigint, between: () => void = () => undefined): void {
  writeStamp(`${path}.lo`, modifiedNs - marginNs);
  between();
  writeStamp(`${path}.hi`, modifiedNs + marginNs);
  if (areStampsOf(path, modifiedNs)) return;
  removeStamps(path);
  throw new Failure('machine', `the file system of ${path} keeps times too coarsely to tell files apart`);
}

function writeStamp(path: string, timeNs: bigint): void {
  const temporary = `${path}.${randomName()}.tmp`;
  writeFileSync(temporary, '', { mode: 0o600, flag: 'wx' });
  const seconds = Number(timeNs) / 1e9;
  utimesSync(temporary, seconds, seconds);
  renameSync(temporary, path);
}

/** Tells whether stamps are there and say this time: what the shell says, in the same terms. */
export function areStampsOf(path: string, modifiedNs: bigint): boolean {
  const [lo, hi] = [statOf(`${path}.lo`), statOf(`${path}.hi`)];
  return lo !== undefined && hi !== undefined && lo.mtimeNs < modifiedNs && modifiedNs < hi.mtimeNs;
}

/** Removes stamps, the one that came last first; they may be gone. */
export function removeStamps(path: string): void {
  for (const stamp of [`${path}.hi`, `${path}.lo`]) unlinkIfThere(stamp);
}

/** Removes a name that may be gone. */
export function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

/** Where a link leads to; `undefined` when it is none. */
export function targetOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // Whoever asks compares it with what it has to be.
  }
}

/** Puts a short text in the place of another at once: a reader finds the old or the new one. It is not made durable. */
export function replaceText(folder: string, name: string, text: string): void {
  const temporary = join(folder, `.${name}.${randomName()}.tmp`);
  writeFileSync(temporary, text, { mode: 0o600, flag: 'wx' });
  renameSync(temporary, join(folder, name));
}
