import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { environment } from '../system/environment.ts';
import { run } from '../system/process.ts';

/** One cluster as postgresql-common knows it. */
export interface Cluster {
  /** `15` or `9.6`. */
  readonly major: string;
  readonly name: string;
  /** `15/main`: how people and the option `clusters` call it. */
  readonly label: string;
  /** `15-main`: the unit's name in paths and in the repository. */
  readonly unit: string;
  readonly port: number;
  readonly dataDirectory: string;
  readonly configDirectory: string;
  readonly socketDirectory: string;
  readonly logFile: string;
  /** `/usr/lib/postgresql/15/bin`. */
  readonly binaries: string;
  readonly ownerUid: number;
  readonly ownerGid: number;
  readonly running: boolean;
}

const listedSchema = z.array(
  z.object({
    version: z.union([z.number(), z.string()]).transform(String),
    cluster: z.string(),
    port: z.union([z.number(), z.string()]).transform(Number),
    running: z.union([z.number(), z.boolean()]).transform(Boolean),
    pgdata: z.string().optional(),
    configdir: z.string().optional(),
    socketdir: z.string().optional(),
    logfile: z.string().optional(),
    // Null where the data directory is not there, or can't be looked at.
    owneruid: z.union([z.number(), z.string()]).transform(Number).nullish(),
    ownergid: z.union([z.number(), z.string()]).transform(Number).nullish(),
  }),
);

/** The clusters of this machine, in the order of `pg_lsclusters`. */
export async function listClusters(): Promise<readonly Cluster[]> {
  const { stdout } = await run('pg_lsclusters', ['--json']);
  const listed = listedSchema.parse(JSON.parse(stdout));
  return await Promise.all(listed.map(toCluster));
}

async function toCluster(listed: z.infer<typeof listedSchema>[number]): Promise<Cluster> {
  const { version: major, cluster: name } = listed;
  const configDirectory = listed.configdir ?? join(environment.clusterConfigurationRoot(), major, name);
  const owner = typeof listed.owneruid !== 'number' ? await stat(configDirectory) : undefined;
  return {
    major,
    name,
    label: `${major}/${name}`,
    unit: `${major}-${name}`,
    port: listed.port,
    dataDirectory: listed.pgdata ?? `/var/lib/postgresql/${major}/${name}`,
    configDirectory,
    socketDirectory: listed.socketdir ?? '/var/run/postgresql',
    logFile: listed.logfile ?? `/var/log/postgresql/postgresql-${major}-${name}.log`,
    binaries: `/usr/lib/postgresql/${major}/bin`,
    ownerUid: listed.owneruid ?? owner?.uid ?? 0,
    ownerGid: listed.ownergid ?? owner?.gid ?? 0,
    running: listed.running,
  };
}

/** The cluster that is meant: the one named, the one in the settings, or the machine's only one. Fails with `usage`. */
export async function findCluster(named: string | undefined, configured: readonly string[]): Promise<Cluster> {
  const clusters = await listClusters();
  const labels = clusters.map(({ label }) => label).join(', ');
  const wanted = named ?? (configured.length === 1 ? configured[0] : undefined);
  if (wanted !== undefined) {
    const found = clusters.find(({ label, unit }) => label === wanted || unit === wanted);
    if (found !== undefined) return found;
    throw new Failure('usage', `there is no cluster ${wanted} on this machine`, {
      hint: labels === '' ? 'pg_lsclusters shows none.' : `pg_lsclusters shows ${labels}.`,
    });
  }
  const [only, ...others] = clusters;
  if (only === undefined) {
    throw new Failure('usage', 'there is no PostgreSQL cluster on this machine', {
      hint: 'pg_lsclusters shows none: make one with pg_createcluster, or go to the machine that has it.',
    });
  }
  if (others.length === 0) return only;
  throw new Failure('usage', `this machine has several clusters: ${labels}`, {
    hint: 'Say which with --cluster, or in the option clusters.',
  });
}
