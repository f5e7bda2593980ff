import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from '../../src/postgres/cluster.ts';
import type { TestCluster } from './machine.ts';

/** The rules that the legacy charm puts in place of every other: `all` lets no replication connection in. */
export const legacyRules = [
  'local all postgres peer',
  'local all nagios password',
  'local all all peer',
  'local all all reject',
  'host all all all reject',
  '',
].join('\n');

/** Gives a running cluster another pg_hba.conf. Gives back what puts the one before in place again. */
export async function changeRules(server: TestCluster, cluster: Cluster, rules: string): Promise<() => Promise<void>> {
  const hba = join(cluster.configDirectory, 'pg_hba.conf');
  const before = await readFile(hba, 'utf8');
  const put = async (text: string) => {
    await writeFile(hba, text);
    await server.sql('SELECT pg_reload_conf(), pg_sleep(0.3)');
  };
  await put(rules);
  return async () => {
    await put(before);
  };
}
