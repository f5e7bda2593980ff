import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { parseLsn, type Lsn } from '../core/lsn.ts';
import { run } from '../system/process.ts';

/** What `pg_control` says; it can be read whether the server runs or not. */
export interface ControlData {
  readonly systemIdentifier: string;
  /** As `pg_controldata` words it: `in production`, `shut down`, `in archive recovery`, … */
  readonly state: string;
  readonly timeline: number;
  readonly checkpointLsn: Lsn;
  readonly minimumRecoveryEnd: Lsn;
  readonly segmentSize: number;
  readonly hasChecksums: boolean;
  readonly catalogVersion: string;
  /** The settings that recovery needs at least as high, by their names in `postgresql.conf`. */
  readonly floors: Readonly<Record<string, number>>;
}

const floorNames = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_xacts',
  'max_locks_per_xact',
] as const;
const settingOfFloor: Readonly<Record<(typeof floorNames)[number], string>> = {
  max_connections: 'max_connections',
  max_worker_processes: 'max_worker_processes',
  max_wal_senders: 'max_wal_senders',
  max_prepared_xacts: 'max_prepared_transactions',
  max_locks_per_xact: 'max_locks_per_transaction',
};

/** Reads a data directory's `pg_control`. Fails with `postgres` when there is none or it is damaged. */
export async function readControlData(binaries: string, dataDirectory: string): Promise<ControlData> {
  const { exitCode, stdout, stderr } = await run(join(binaries, 'pg_controldata'), ['-D', dataDirectory], {
    env: { LC_ALL: 'C' },
    answers: [1],
  });
  if (exitCode !== 0 || stdout.includes('WARNING')) {
    throw new Failure(
      'postgres',
      `the control file of ${dataDirectory} can't be read: ${(stderr || stdout).trim().split('\n')[0] ?? ''}`,
    );
  }
  const values = new Map(
    stdout.split('\n').flatMap((line) => {
      const colon = line.indexOf(':');
      return colon < 0 ? [] : [[line.slice(0, colon).trim(), line.slice(colon + 1).trim()] as const];
    }),
  );
  const value = (name: string): string => {
    const found = values.get(name);
    if (found === undefined)
      throw new Failure('postgres', `pg_controldata does not tell "${name}" of ${dataDirectory}`);
    return found;
  };
  return {
    systemIdentifier: value('Database system identifier'),
    state: value('Database cluster state'),
    timeline: Number(value("Latest checkpoint's TimeLineID")),
    checkpointLsn: parseLsn(value('Latest checkpoint location')),
    minimumRecoveryEnd: parseLsn(value('Minimum recovery ending location')),
    segmentSize: Number(value('Bytes per WAL segment')),
    hasChecksums: value('Data page checksum version') !== '0',
    catalogVersion: value('Catalog version number'),
    floors: Object.fromEntries(
      floorNames.flatMap((name) => {
        const text = values.get(`${name} setting`);
        return text === undefined ? [] : [[settingOfFloor[name], Number(text)]];
      }),
    ),
  };
}
