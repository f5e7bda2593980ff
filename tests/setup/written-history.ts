import { execa } from 'execa';
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { backupId, backupSchema, type Backup } from '../../src/core/backup.ts';
import { parseLsn } from '../../src/core/lsn.ts';
import { parseWalName } from '../../src/core/wal-name.ts';
import { withConnection } from '../../src/postgres/query.ts';
import { readSettingsSnapshot } from '../../src/postgres/settings-snapshot.ts';
import { layout, type Place } from '../../src/repository/layout.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { storeWal } from '../../src/repository/wal-store.ts';
import { asOwner, type TestCluster } from './machine.ts';

/** Where a test's own `archive_command` puts WAL, and how it comes from there into the repository when the test says so. */
export interface HandArchive {
  readonly folder: string;
  readonly settings: Readonly<Record<string, string>>;
  /** Stores everything that has arrived, or what the filter lets through. */
  store(repository: Repository, place: Place, filter?: (name: string) => boolean): Promise<void>;
}

/** An archive that a test fills by hand, so that it decides what the repository holds. */
export async function makeHandArchive(root: string): Promise<HandArchive> {
  const folder = join(root, 'archive');
  await mkdir(folder);
  return {
    folder,
    settings: { archive_mode: 'on', archive_command: `test ! -f ${folder}/%f && cp %p ${folder}/%f` },
    store: async (repository, place, filter = () => true) => {
      for (const name of (await readdir(folder)).filter(filter)) {
        await storeWal(repository, place, parseWalName(name), join(folder, name), 1);
      }
    },
  };
}

/** Switches the segment and waits until all WAL up to now lies in the hand archive. */
export async function archiveAll(server: TestCluster, archive: HandArchive): Promise<void> {
  const name = await server.sql('select pg_walfile_name(pg_switch_wal())');
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if ((await readdir(archive.folder)).includes(name)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${name} did not arrive in the archive`);
}

/** A plain base backup in a directory together with its record in the repository. */
export async function takePlainBackup(
  server: TestCluster,
  archive: HandArchive,
  repository: Repository,
  place: Place,
  directory: string,
): Promise<Backup> {
  const startedAt = new Date();
  const { cluster } = server;
  await asOwner('pg_basebackup', [
    '-D',
    directory,
    '-X',
    'none',
    '-c',
    'fast',
    '-h',
    cluster.socketDirectory,
    '-p',
    String(cluster.port),
  ]);
  const stoppedAt = new Date();
  const label = await readFile(join(directory, 'backup_label'), 'utf8');
  const first = /\(file ([0-9A-F]{24})\)/.exec(label)?.[1] ?? '';
  const start = /START WAL LOCATION: (\S+)/.exec(label)?.[1] ?? '';
  const written = (await readdir(archive.folder)).find((name) => name.startsWith(first) && name.endsWith('.backup'));
  const stop = /STOP WAL LOCATION: (\S+)/.exec(await readFile(join(archive.folder, written ?? ''), 'utf8'))?.[1] ?? '';
  const backup: Backup = {
    format: 1,
    id: backupId(startedAt, stop.replace('/', '').slice(-6).toLowerCase().padStart(6, '0')),
    label: '',
    cluster: cluster.label,
    ...place,
    versionNumber: 150000,
    major: cluster.major,
    timeline: Number(/START TIMELINE: (\d+)/.exec(label)?.[1] ?? 1),
    segmentSize: 1024 * 1024,
    startLsn: parseLsn(start),
    stopLsn: parseLsn(stop),
    startedAt,
    stoppedAt,
    stoppedAtHost: stoppedAt,
    withWal: false,
    dataDirectory: cluster.dataDirectory,
    archives: [
      { oid: null, location: null, parts: [{ name: 'base.tar.zst.00001', sizeBytes: 1, sha256: '0'.repeat(64) }] },
    ],
    manifest: null,
    plainBytes: 30_000_000,
    storedBytes: 1,
    compression: { where: 'server', level: 1 },
    badPages: false,
    settings: [...(await withConnection(cluster, readSettingsSnapshot))],
    fileSet: null,
    timings: {},
  };
  await repository.writeJson(layout.backupRecord(place, backup.id), backupSchema, backup);
  return backup;
}

/** What came out of a real recovery. */
export interface Recovered {
  /** Where the new timeline left, as its history file says it. */
  readonly switchLsn: bigint;
  readonly timeline: number;
  ask(sql: string): Promise<string>;
  /** Copies what the new timeline wrote into a folder. */
  saveWal(folder: string): Promise<void>;
  stop(): Promise<void>;
}

/** Copies a plain backup, recovers it with the given settings until it is promoted, and looks at it. */
export async function recoverForReal(options: {
  readonly backupDirectory: string;
  readonly directory: string;
  readonly binaries: string;
  readonly port: number;
  readonly files: readonly { readonly name: string; readonly contents: string }[];
  readonly settings: readonly (readonly [string, string])[];
}): Promise<Recovered> {
  const { directory, port } = options;
  await execa('cp', ['-a', options.backupDirectory, directory]);
  for (const { name, contents } of options.files) await writeFile(join(directory, name), contents);
  await writeFile(join(directory, 'postgresql.conf'), '');
  await writeFile(join(directory, 'pg_hba.conf'), 'local all all peer\n');
  await writeFile(join(directory, 'pg_ident.conf'), '');
  await chmod(directory, 0o700);
  const settings = [
    ...options.settings,
    ['port', String(port)],
    ['unix_socket_directories', directory],
    ['listen_addresses', ''],
    ['fsync', 'off'],
  ].flatMap(([name, value]) => ['-c', `${name ?? ''}=${value ?? ''}`]);
  const server = execa(join(options.binaries, 'postgres'), ['-D', directory, ...settings], {
    reject: false,
    all: true,
  });
  let ended = false;
  void server.then(() => (ended = true));
  const ask = async (sql: string) =>
    (await asOwner('psql', ['-X', '-h', directory, '-p', String(port), '-d', 'postgres', '-Atc', sql])).stdout;
  const historyFile = await promoted(directory, ask, () => ended);
  if (historyFile === undefined) throw new Error(`recovery failed: ${(await server).all}`);
  const lines = (await readFile(join(directory, 'pg_wal', historyFile), 'utf8')).trim().split('\n');
  return {
    switchLsn: parseLsn(lines.at(-1)?.split('\t')[1] ?? ''),
    timeline: Number.parseInt(historyFile.slice(0, 8), 16),
    ask,
    saveWal: async (folder) => {
      const names = (await readdir(join(directory, 'pg_wal'))).filter((name) =>
        name.startsWith(historyFile.slice(0, 8)),
      );
      for (const name of names) await copyFile(join(directory, 'pg_wal', name), join(folder, name));
    },
    stop: async () => {
      server.kill('SIGINT');
      await server;
    },
  };
}

async function promoted(
  directory: string,
  ask: (sql: string) => Promise<string>,
  hasEnded: () => boolean,
): Promise<string | undefined> {
  for (let attempt = 0; attempt < 400 && !hasEnded(); attempt += 1) {
    const inRecovery = await ask('select pg_is_in_recovery()').catch(() => 't');
    if (inRecovery === 'f')
      return (await readdir(join(directory, 'pg_wal')))
        .filter((name) => name.endsWith('.history'))
        .sort()
        .at(-1);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return undefined;
}
