import { lstat, realpath } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { Failure } from '../../core/failure.ts';
import { BackupTar, gathered } from './tar.ts';
import { ManifestWriter } from './manifest-writer.ts';
import { relationFileNumber } from './exclusions.ts';
import { unlessGone, walkForBackup, type FoundMember, type WalkRequest } from './walk.ts';
import type { BaseBackupEnd, RunningBaseBackup } from '../base-backup.ts';
import type { BackedUpTablespace, WalPosition } from '../base-backup-query.ts';
import { readControlFile } from './control-file.ts';
import type { LowLevelCommands } from './commands.ts';
import { walForBackup } from './wal.ts';
import { PageChecker } from './page-checker.ts';
import type { PageLayout } from './page-checksum.ts';

/** What the server gives at the end of a backup: two files for the backup, and where it ends. */
export interface BackupFiles {
  readonly label: Buffer;
  readonly map: Buffer;
  readonly at: WalPosition;
}

/** What the archives of a backup are made from. */
export interface LowLevelRequest {
  readonly dataDirectory: string;
  readonly systemIdentifier: string;
  /** The directory in every tablespace that belongs to this version: `PG_15_202209061`. */
  readonly tablespaceVersion: string;
  /** Undefined where the cluster keeps no checksums. */
  readonly pages: PageLayout | undefined;
  /** `stats_temp_directory` of 14 and before. */
  readonly statisticsDirectory: string | null;
  readonly start: WalPosition;
  readonly tablespaces: readonly BackedUpTablespace[];
  readonly commands: LowLevelCommands;
  readonly withWal: boolean;
  readonly binaries: string;
  readonly guard: () => void;
  readonly warn: (text: string) => void;
  /** Ends the backup on the server. */
  readonly stop: () => Promise<BackupFiles>;
}

const controlFile = 'global/pg_control';

/** The objects of a backup that is read from the cluster's files: a tar for each tablespace, the data directory's, the manifest. */
export class LowLevelArchives {
  readonly #request: LowLevelRequest;
  readonly #manifest: ManifestWriter | undefined;
  readonly #pages: PageChecker | undefined;
  readonly #tar: BackupTar;
  #stopped: WalPosition | undefined;

  private constructor(
    request: LowLevelRequest,
    tar: BackupTar,
    manifest: ManifestWriter | undefined,
    pages: PageChecker | undefined,
  ) {
    this.#request = request;
    this.#tar = tar;
    this.#manifest = manifest;
    this.#pages = pages;
  }

  static async begin(request: LowLevelRequest): Promise<LowLevelArchives> {
    const { commands, systemIdentifier, start, guard, warn } = request;
    const manifest = commands.hasManifest ? new ManifestWriter(commands.manifestVersion, systemIdentifier) : undefined;
    const pages = request.pages === undefined ? undefined : new PageChecker(request.pages, start.lsn, warn);
    return new LowLevelArchives(request, await BackupTar.begin({ manifest, pages, guard }), manifest, pages);
  }

  /** How many bytes of files have been read. */
  get plainBytes(): number {
    return this.#tar.plainBytes;
  }

  async *objects(): RunningBaseBackup['objects'] {
    for (const { oid, location } of this.#request.tablespaces) {
      const body = oid === null || location === null ? this.#dataDirectory() : this.#tablespace(oid, location);
      yield { kind: 'archive', oid, location, body: gathered(body) };
    }
    if (this.#manifest === undefined) return;
    const { start } = this.#request;
    const range = { timeline: start.timeline, startLsn: start.lsn, endLsn: this.#end().lsn };
    yield { kind: 'manifest', body: asynchronous(this.#manifest.finish(range)) };
  }

  /** Where the backup ended, and whether pages were wrong. */
  end(): Omit<BaseBackupEnd, 'warnings'> {
    const badPages = this.#pages?.badPages ?? 0;
    if (badPages > 1) this.#request.warn(`${badPages} total checksum verification failures`);
    return { ...this.#end(), badPages: badPages > 0 };
  }

  #end(): WalPosition {
    if (this.#stopped === undefined) {
      throw new Failure('internal', 'the end of a base backup was asked for before its last object');
    }
    return this.#stopped;
  }

  async *#tablespace(oid: number, location: string): AsyncIterable<Uint8Array> {
    const { tablespaceVersion: from, warn } = this.#request;
    const path = join(location, from);
    const stats = await unlessGone(path, async () => await lstat(path));
    if (stats !== undefined) yield this.#tar.directory(from, stats);
    const nothing: ReadonlySet<string> = new Set();
    yield* this.#found({ root: location, from, hollow: nothing, omitted: nothing, warn }, `pg_tblspc/${oid}/`);
    yield this.#tar.end();
  }

  /**
   * The data directory. The control file is read before the backup ends, and stands last of all: unpacked with less than
   * this tar, nothing starts.
   */
  async *#dataDirectory(): AsyncIterable<Uint8Array> {
    const { dataDirectory: root, commands, warn, withWal, start } = this.#request;
    const omitted = new Set([controlFile]);
    yield* this.#found({ root, from: '', hollow: await this.#hollow(), omitted, warn }, '');
    const control = await readControlFile(join(root, controlFile));
    const { label, map, at } = await this.#request.stop();
    this.#checkMap(map);
    const written = { mode: control.stats.mode, uid: control.stats.uid, gid: control.stats.gid, mtime: new Date() };
    yield* this.#tar.contents('backup_label', label, written);
    yield* this.#tar.contents('tablespace_map', map, written);
    if (withWal) {
      const wal = { directory: join(root, commands.walDirectories[0]), prefix: commands.walDirectories[0] };
      yield* walForBackup(this.#tar, { ...wal, start, end: at, binaries: this.#request.binaries, root });
    }
    yield* this.#tar.contents(controlFile, control.contents, control.stats);
    yield this.#tar.end();
    this.#stopped = at;
  }

  async *#found(walk: WalkRequest, listedPrefix: string): AsyncIterable<Uint8Array> {
    const [wal, ...belowWal] = this.#request.commands.walDirectories;
    for await (const found of walkForBackup(walk)) {
      if (found.kind === 'file') yield* this.#tar.file(this.#source(walk.root, found, listedPrefix));
      else {
        yield this.#tar.directory(found.path, found.stats);
        if (listedPrefix === '' && found.path === wal) {
          for (const path of belowWal) yield this.#tar.directory(path, found.stats);
        }
      }
    }
  }

  #source(root: string, { path, directory, name, stats }: FoundMember, listedPrefix: string) {
    const relationNumber = this.#pages === undefined ? undefined : relationFileNumber(directory, name);
    return { file: join(root, path), name: path, listed: listedPrefix + path, stats, relationNumber };
  }

  /** What is there in the backup, but empty: WAL, passing statistics, tablespaces that lie in the data directory. */
  async #hollow(): Promise<ReadonlySet<string>> {
    const { dataDirectory, commands, tablespaces, statisticsDirectory } = this.#request;
    const root = await realpath(dataDirectory);
    const outer = [
      ...tablespaces.flatMap(({ location }) => (location === null ? [] : [location])),
      ...(statisticsDirectory === null ? [] : [resolve(root, statisticsDirectory)]),
    ];
    const real = await Promise.all(
      outer.map(async (path) => (await unlessGone(path, async () => await realpath(path))) ?? path),
    );
    return new Set([commands.walDirectories[0], ...real.map((path) => relative(root, path))]);
  }

  /** Which tablespaces there are is asked after the server has written its map: one that came or went in between is told. */
  #checkMap(map: Buffer): void {
    const mapped = new Set(map.toString('latin1').match(/^\d+(?= )/gm) ?? []);
    const read = this.#request.tablespaces.flatMap(({ oid }) => (oid === null ? [] : [String(oid)]));
    if (read.length === mapped.size && read.every((oid) => mapped.has(oid))) return;
    throw new Failure('postgres', 'a tablespace was made or dropped at the moment at which the backup began', {
      hint: 'Take the backup again.',
    });
  }
}

async function* asynchronous(chunks: Iterable<Uint8Array>): AsyncIterable<Uint8Array> {
  yield* chunks;
}
