import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { configurationLine } from '../core/configuration-line.ts';
import { Failure } from '../core/failure.ts';
import { errorCode, readText, removeFile, writeAtomically } from '../system/files.ts';
import type { Cluster } from './cluster.ts';

/** The one file of ours in a cluster's configuration. */
export function archivingFile(cluster: Pick<Cluster, 'configDirectory'>): string {
  return join(cluster.configDirectory, 'conf.d', 'landscape-backup.conf');
}

/** The text of our file. */
function formatArchivingFile(settings: Readonly<Record<string, string>>, comment: string): string {
  const lines = Object.entries(settings).map(([name, value]) => configurationLine(name, value));
  return [`# ${comment}`, ...lines, ''].join('\n');
}

/** Writes our file unless it says so already. False: there is no `conf.d` to put it into. */
export async function writeArchivingFile(
  cluster: Pick<Cluster, 'configDirectory'>,
  settings: Readonly<Record<string, string>>,
  comment: string,
): Promise<boolean> {
  const path = archivingFile(cluster);
  if (!(await isDirectory(join(cluster.configDirectory, 'conf.d')))) return false;
  for (const [name, value] of Object.entries(settings)) {
    if (!/[\n\r\0]/.test(value)) continue;
    throw new Failure('settings', `${name} can't hold a line break: ${JSON.stringify(value)}`, {
      hint: 'Install landscape-backup, and keep its home, in directories with plain names.',
    });
  }
  const text = formatArchivingFile(settings, comment);
  if ((await readText(path)) !== text) await writeAtomically(path, text, 0o644);
  return true;
}

/** Removes our file; it may be gone already. */
export async function removeArchivingFile(cluster: Pick<Cluster, 'configDirectory'>): Promise<void> {
  try {
    await removeFile(archivingFile(cluster));
  } catch (error) {
    throw new Failure(
      'machine',
      `${archivingFile(cluster)} could not be removed: ${errorCode(error) ?? String(error)}`,
      { cause: error },
    );
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw new Failure('machine', `${path} could not be looked at: ${errorCode(error) ?? String(error)}`, {
      cause: error,
    });
  }
}
