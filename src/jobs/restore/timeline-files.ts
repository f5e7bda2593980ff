import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { parseHistory } from '../../core/timeline.ts';
import { historyName, parseWalName, segmentName, segmentOf, type WalName } from '../../core/wal-name.ts';
import { Failure } from '../../core/failure.ts';
import { readControlData } from '../../postgres/control-data.ts';
import type { Cluster } from '../../postgres/cluster.ts';
import { walDirectory } from '../../postgres/timeline-history.ts';
import { errorCode, readText } from '../../system/files.ts';
import type { RestoreState } from './restore-state.ts';

/**
 * The files in a stopped cluster's WAL directory that its newest timeline needs and that are complete: its history and those
 * of its ancestors, and its segments up to the one that is being written.
 */
export async function readTimelinePath(
  cluster: Cluster,
  { timeline, switchLsn }: NonNullable<RestoreState['reached']>,
): Promise<readonly WalName[]> {
  const folder = walDirectory(cluster);
  const name = historyName(timeline);
  const text = await readText(join(folder, name));
  if (text === undefined) throw new Failure('postgres', `${join(folder, name)} is missing`);
  const names: string[] = [];
  for (const { parent } of parseHistory(text, name)) {
    if (await isThere(join(folder, historyName(parent)))) names.push(historyName(parent));
  }
  names.push(name);
  const { checkpointLsn, segmentSize } = await readControlData(cluster.binaries, cluster.dataDirectory);
  const writing = segmentOf(checkpointLsn, segmentSize);
  for (let number = segmentOf(switchLsn, segmentSize); number < writing; number += 1) {
    const segment = segmentName(timeline, number, segmentSize);
    if (await isThere(join(folder, segment))) names.push(segment);
  }
  return names.map(parseWalName);
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
