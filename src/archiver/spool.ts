import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { ProcessMark } from '../core/job.ts';
import { errorCode, randomName } from '../system/files.ts';
import {
  areStampsOf,
  isSameFile,
  removeStamps,
  replaceText,
  stateOf,
  targetOf,
  unlinkIfThere,
  writeStamps,
  type FileState,
} from '../system/file-stamps.ts';
import { settingsFile, type UnitFolder } from '../system/home.ts';
import type { WalSteps } from './wal-steps.ts';

/** Half of an acknowledgement, by the name of its WAL file. */
const stampPattern = /^([0-9A-F].*)\.(lo|hi)$/;

/**
 * What the resident archiver tells `charm/bin/archive-wal`, in a form that a shell reads without starting a program. Losing
 * all of it costs time and nothing else.
 *
 * `spool/archive/current` names the folder in force and the archiver's process; the folder holds
 *
 * - `owner`, `pin`: hard links to the files that say who this unit is to which repository. Those are only ever replaced, so
 *   `-ef` tells whether they are what the acknowledgements were given under: a restore, a take-over, another repository;
 * - `data`: a link to the data directory, compared with the directory that PostgreSQL calls from;
 * - `settings.lo`, `settings.hi`: when the settings, which name the destination, were written;
 * - `<name>.lo`, `<name>.hi`: the acknowledgement of a WAL file, for the very state of the file that was read;
 * - `failing`: the archiver can't push at the moment; nobody need wait for it.
 *
 * All calls here are synchronous: they are short, and none may be kept waiting by requests to a destination that hangs.
 */
export interface ArchiveSpool {
  readonly folder: string;
  /** The owner state and the pin by names of their own: they stay what they were when this folder was made. */
  readonly owner: string;
  readonly pin: string;
  /** Tells whether what stands above is still so. */
  isInForce(): boolean;
  acknowledge(name: string, state: FileState): void;
  isAcknowledged(name: string, state: FileState): boolean;
  /** The names that have an acknowledgement, or a rest of one. */
  acknowledged(): ReadonlySet<string>;
  forget(name: string): void;
  setFailing(isFailing: boolean): void;
  /** Says that no archiver runs any more; the acknowledgements stay. */
  leave(): void;
}

/** What a spool is opened for. */
export interface SpoolRequest {
  readonly unit: UnitFolder;
  readonly dataDirectory: string;
  readonly mark: ProcessMark;
  readonly step: WalSteps;
}

/**
 * Opens the spool of a unit; its acknowledgements survive when they were given under the same owner, repository, settings and
 * data directory. Call it with the archiver's lock held.
 *
 * `undefined` when the unit owns nothing, is pinned to nothing or has no settings.
 */
export function openSpool(request: SpoolRequest): ArchiveSpool | undefined {
  const root = archiveSpool(request.unit);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const known = readCurrent(root);
  const folder = known !== undefined && isInForce(join(root, known), request) ? known : makeFolder(root, request);
  if (folder === undefined) return undefined;
  // The process's start is the number of ticks since the boot; the boot itself need not be told: who reads this only waits.
  const ticks = request.mark.startTime.split(':').at(-1) ?? '';
  writeCurrent(root, folder, `${request.mark.pid} ${ticks}`);
  request.step('spool in force');
  for (const name of readdirSync(root)) {
    if (name !== 'current' && name !== folder) rmSync(join(root, name), { recursive: true, force: true });
  }
  for (const name of readdirSync(join(root, folder))) {
    if (name.endsWith('.tmp')) unlinkIfThere(join(root, folder, name));
  }
  return spoolAt(join(root, folder), request);
}

/** Takes the spool out of service; for when it can't be written any more. Works on a full disk. */
export function closeSpool(unit: UnitFolder): void {
  unlinkIfThere(join(archiveSpool(unit), 'current'));
}

function archiveSpool(unit: UnitFolder): string {
  return join(unit.spool, 'archive');
}

function readCurrent(root: string): string | undefined {
  try {
    return /^([0-9a-f]+) \d+ \d+\n$/.exec(readFileSync(join(root, 'current'), 'utf8'))?.[1];
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function writeCurrent(root: string, folder: string, process: string): void {
  replaceText(root, 'current', `${folder} ${process}\n`);
}

function makeFolder(root: string, { unit, dataDirectory, step }: SpoolRequest): string | undefined {
  const name = randomName(8);
  const folder = join(root, name);
  mkdirSync(folder, { mode: 0o700 });
  try {
    linkSync(unit.owner, join(folder, 'owner'));
    linkSync(unit.pin, join(folder, 'pin'));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  symlinkSync(dataDirectory, join(folder, 'data'));
  const settings = stateOf(settingsOf(unit));
  if (settings === undefined) return undefined;
  writeStamps(join(folder, 'settings'), settings.modifiedNs);
  step('spool folder made');
  return name;
}

function settingsOf(unit: UnitFolder): string {
  return settingsFile(dirname(unit.path));
}

function isInForce(folder: string, { unit, dataDirectory }: SpoolRequest): boolean {
  const settings = stateOf(settingsOf(unit));
  return (
    isSameFile(stateOf(join(folder, 'owner')), stateOf(unit.owner)) &&
    isSameFile(stateOf(join(folder, 'pin')), stateOf(unit.pin)) &&
    targetOf(join(folder, 'data')) === dataDirectory &&
    settings !== undefined &&
    areStampsOf(join(folder, 'settings'), settings.modifiedNs)
  );
}

function spoolAt(folder: string, request: SpoolRequest): ArchiveSpool {
  return {
    folder,
    owner: join(folder, 'owner'),
    pin: join(folder, 'pin'),
    isInForce: () => isInForce(folder, request),
    acknowledge: (name, state) => {
      writeStamps(join(folder, name), state.modifiedNs, () => {
        request.step('half acknowledged');
      });
      request.step('acknowledged');
    },
    isAcknowledged: (name, state) => areStampsOf(join(folder, name), state.modifiedNs),
    acknowledged: () => new Set(readdirSync(folder).flatMap((name) => stampPattern.exec(name)?.[1] ?? [])),
    forget: (name) => {
      removeStamps(join(folder, name));
      request.step('forgotten');
    },
    setFailing: (isFailing) => {
      if (isFailing) writeFileSync(join(folder, 'failing'), '', { mode: 0o600 });
      else unlinkIfThere(join(folder, 'failing'));
      request.step('failing said');
    },
    leave: () => {
      if (readCurrent(dirname(folder)) === basename(folder)) writeCurrent(dirname(folder), basename(folder), '0 0');
    },
  };
}
