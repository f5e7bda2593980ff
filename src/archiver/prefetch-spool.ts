import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessMark } from '../core/job.ts';
import { readWalName } from '../core/wal-name.ts';
import { errorCode, randomName } from '../system/files.ts';
import { replaceText, unlinkIfThere } from '../system/file-stamps.ts';
import type { UnitFolder } from '../system/home.ts';
import { servePlanFile } from './restore-wal.ts';

/**
 * What the prefetcher tells `charm/bin/restore-wal`, in a form that a shell reads without starting a program.
 *
 * `spool/restore/current` names the folder in force, the prefetcher's process, its boot, and how files are handed over. The
 * folder is one run's: nothing in it is believed when that process has ended. It holds
 *
 * - `plan`: a hard link to the plan in service. That file is only ever replaced, so `-ef` tells whether it still is this one;
 * - `<segment>`: the whole segment, verified; `<segment>.coming`: it is being fetched; `<segment>.gone`, written by the front: it
 *   was handed over, and PostgreSQL may write over it;
 * - `asked`: the segment that recovery asked for last, written by the front.
 */
export interface PrefetchSpool {
  readonly folder: string;
  /** The plan in service by a name of its own: it stays what it was when the folder was made. */
  readonly plan: string;
  /** The names of whole segments, and whether they were handed over. */
  ready(): ReadonlyMap<string, 'here' | 'gone'>;
  setComing(name: string, isComing: boolean): void;
  /** What recovery asked for last. */
  asked(): string | undefined;
  remove(name: string): void;
  /** Removes everything. */
  close(): void;
}

/** The folder of all runs; who starts the prefetcher removes it in the end. */
export function prefetchFolder(unit: UnitFolder): string {
  return join(unit.spool, 'restore');
}

/** Makes the folder of a run and puts it in force; what earlier runs left is removed. `undefined` without a plan in service. */
export function makePrefetchSpool(
  unit: UnitFolder,
  dataDirectory: string,
  mark: ProcessMark,
): PrefetchSpool | undefined {
  const root = prefetchFolder(unit);
  rmSync(root, { recursive: true, force: true });
  const name = randomName(8);
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    linkSync(servePlanFile(unit), join(folder, 'plan'));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const [boot = '', ticks = ''] = mark.startTime.split(':');
  const how = canLink(folder, join(dataDirectory, 'pg_wal')) ? 'link' : 'copy';
  replaceText(root, 'current', `${name} ${mark.pid} ${ticks} ${boot} ${how}\n`);
  return {
    folder,
    plan: join(folder, 'plan'),
    ready: () => {
      const names = new Set(readdirSync(folder));
      const segments = [...names].filter((each) => readWalName(each)?.kind === 'segment');
      return new Map(segments.map((each) => [each, names.has(`${each}.gone`) ? 'gone' : 'here']));
    },
    setComing: (segment, isComing) => {
      const marker = join(folder, `${segment}.coming`);
      if (isComing) writeFileSync(marker, '', { mode: 0o600 });
      else unlinkIfThere(marker);
    },
    asked: () => readAsked(join(folder, 'asked')),
    remove: (segment) => {
      // In this order: what PostgreSQL writes over never looks like one that is here.
      unlinkIfThere(join(folder, segment));
      unlinkIfThere(join(folder, `${segment}.gone`));
    },
    close: () => {
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** Tried, not computed: two mounts of one file system have the same number and refuse all the same. */
function canLink(folder: string, target: string): boolean {
  const [from, to] = [join(folder, 'probe'), join(target, `.landscape-backup.${randomName()}.tmp`)];
  writeFileSync(from, '', { mode: 0o600 });
  try {
    linkSync(from, to);
    unlinkSync(to);
    return true;
  } catch {
    return false;
  } finally {
    unlinkSync(from);
  }
}

function readAsked(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
