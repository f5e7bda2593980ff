import { indexWal, wholeLogs, type WalIndex, type WholeLogs } from '../core/wal-index.ts';
import { timelineName } from '../core/wal-name.ts';
import { layout, walNameOfKey, type Place } from './layout.ts';
import type { Repository } from './repository.ts';
import { countWalSweeps, listWal } from './wal-store.ts';

/** What WAL an incarnation holds, by a listing of all of it. */
export async function listedWal(repository: Repository, place: Place, segmentSize: number): Promise<WalIndex> {
  const names: string[] = [];
  for await (const name of listWal(repository, place)) names.push(name);
  return indexWal(names, segmentSize);
}

/**
 * The same without listing logs that are known to be whole, but for the first of each row of them: from there a prune removes.
 * All else is listed now, so nothing is said to be missing that was not looked for.
 *
 * `undefined` where that does not fit what is stored: a log is gone, or is not whole any more, or something lies where
 * nothing of ours does. Then only a listing of all of it tells.
 */
export async function listedBeside(
  repository: Repository,
  place: Place,
  segmentSize: number,
  known: readonly WholeLogs[],
): Promise<WalIndex | undefined> {
  const sweeps = await countWalSweeps(repository, place);
  const timelines = await repository.storage.folders(layout.wal(place));
  if (!known.every(({ timeline }) => timelines.includes(`${timelineName(timeline)}/`))) return undefined;
  const names: string[] = [];
  for (const folder of timelines) {
    if (!folderPattern.test(folder)) return undefined;
    const timeline = Number.parseInt(folder, 16);
    const whole = known.filter((logs) => logs.timeline === timeline);
    const found = await namesOfTimeline(repository, layout.wal(place) + folder, { timeline, segmentSize, whole });
    if (found === undefined) return undefined;
    for (const name of found) names.push(name);
  }
  // In the time of a sweep a segment can be missed, as `listWal` says.
  if ((await countWalSweeps(repository, place)) !== sweeps) return undefined;
  return indexWal(names, segmentSize, known);
}

const folderPattern = /^[0-9A-F]{8}\/$/;

interface KnownTimeline {
  readonly timeline: number;
  readonly segmentSize: number;
  readonly whole: readonly WholeLogs[];
}

async function namesOfTimeline(
  repository: Repository,
  prefix: string,
  { timeline, segmentSize, whole }: KnownTimeline,
): Promise<readonly string[] | undefined> {
  const folders = await repository.storage.folders(prefix);
  const stored = new Set(folders);
  const names: string[] = [];
  for (const { first, last } of whole)
    for (let log = first; log <= last; log += 1) if (!stored.has(`${timelineName(log)}/`)) return undefined;
  for (const folder of folders) {
    if (folder !== 'history/' && !folderPattern.test(folder)) return undefined;
    const log = Number.parseInt(folder, 16);
    const logs = folder === 'history/' ? undefined : whole.find(({ first, last }) => log >= first && log <= last);
    if (logs !== undefined && log !== logs.first) continue;
    const here = await namesInFolder(repository, prefix + folder);
    if (here === undefined) return undefined;
    if (logs !== undefined && !isWhole(here, segmentSize, timeline, log)) return undefined;
    names.push(...here);
  }
  return names;
}

function isWhole(names: readonly string[], segmentSize: number, timeline: number, log: number): boolean {
  const [found, ...more] = wholeLogs(indexWal(names, segmentSize));
  return more.length === 0 && found?.timeline === timeline && found.first === log && found.last === log;
}

/** The WAL files in one folder; `undefined` where a folder lies in it. */
async function namesInFolder(repository: Repository, prefix: string): Promise<readonly string[] | undefined> {
  const entries = await repository.storage.folders(prefix);
  if (entries.some((entry) => entry.endsWith('/'))) return undefined;
  return [...new Set(entries.flatMap((entry) => walNameOfKey(prefix + entry) ?? []))];
}
