import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { valueInFile, withoutOurLines, type LineChange } from '../core/configuration-line.ts';
import { Failure } from '../core/failure.ts';
import { errorCode, writeAtomically } from '../system/files.ts';
import type { Cluster } from './cluster.ts';
import type { Connection } from './query.ts';

/** The file in which `ALTER SYSTEM` keeps its values. */
export function autoConfigurationFile(cluster: Pick<Cluster, 'dataDirectory'>): string {
  return join(cluster.dataDirectory, 'postgresql.auto.conf');
}

/** What `ALTER SYSTEM` has set a name to; `undefined` when nothing. */
export async function readAutoValue(
  cluster: Pick<Cluster, 'dataDirectory'>,
  name: string,
): Promise<string | undefined> {
  return valueInFile((await readAutoConfiguration(cluster)) ?? '', name);
}

async function readAutoConfiguration(cluster: Pick<Cluster, 'dataDirectory'>): Promise<string | undefined> {
  const path = autoConfigurationFile(cluster);
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw new Failure('machine', `${path} could not be read: ${errorCode(error) ?? String(error)}`, {
      hint: 'Only the owner of the cluster may read its data directory.',
      cause: error,
    });
  }
}

const statementSchema = z.object({ statement: z.string() });

/** `ALTER SYSTEM` for one name; `null` resets it. The server makes it durable; a reload puts it in force. */
export async function alterSystem(connection: Connection, name: string, value: string | null): Promise<void> {
  const [made] =
    value === null
      ? await connection.ask(statementSchema, `select format('alter system reset %I', $1::text) as statement`, [name])
      : await connection.ask(
          statementSchema,
          `select format('alter system set %I = %L', $1::text, $2::text) as statement`,
          [name, value],
        );
  await connection.ask(z.unknown(), made?.statement ?? '');
}

/**
 * Takes our lines out of `postgresql.auto.conf`, or puts back what stood there, without the server.
 *
 * Only lines that are exactly ours are touched; the file is replaced as a whole. Says whether there was anything to do.
 */
export async function editAutoConfiguration(
  cluster: Pick<Cluster, 'dataDirectory'>,
  changes: Readonly<Record<string, LineChange>>,
): Promise<boolean> {
  const text = await readAutoConfiguration(cluster);
  if (text === undefined) return false;
  const edited = withoutOurLines(text, changes);
  if (edited === text) return false;
  const path = autoConfigurationFile(cluster);
  const { mode } = await stat(path);
  await writeAtomically(path, edited, mode & 0o777);
  return true;
}
