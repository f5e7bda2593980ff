import { createCRC32 } from 'hash-wasm';
import { mkdir, open, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';
import { Failure } from '../core/failure.ts';
import type { RestorePlan } from '../core/restore-plan.ts';
import { errorCode, syncDirectory } from '../system/files.ts';
import { FileSystemSync } from './file-system-sync.ts';
import { FileWriter, type WritingFile } from './file-writer.ts';
import { ManifestReader } from './manifest-reader.ts';
import type { TarMember } from '../system/tar-header.ts';
import { readTar, type TarSink } from '../system/tar-stream.ts';

/** Files of a backup that are not written as they came; by their paths in the data directory. */
export type KeptFiles = ReadonlyMap<string, Buffer>;

/** What is unpacked, and to where. The directories exist and are empty but for what was set aside. */
export interface UnpackRequest {
  readonly directories: RestorePlan['directories'];
  readonly major: string;
  /** In the order in which PostgreSQL sent them: that of the manifest. `oid` null is the data directory. */
  readonly archives: readonly { readonly oid: number | null; readonly body: () => AsyncIterable<Uint8Array> }[];
  readonly manifest: (() => AsyncIterable<Uint8Array>) | undefined;
  /** Everything but the control file is in place: what must be there before a server can start is written now. */
  readonly beforeControlFile: (kept: KeptFiles) => Promise<void>;
  /** Told how many bytes of the cluster have been unpacked. */
  readonly report: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

const controlFile = 'global/pg_control';
const tablespaceMap = 'tablespace_map';
const keptNames: ReadonlySet<string> = new Set([controlFile, tablespaceMap, 'postgresql.auto.conf']);
/** With any of these the result would be a standby, or recover on its own account. */
const droppedNames: ReadonlySet<string> = new Set([
  'standby.signal',
  'recovery.signal',
  'recovery.conf',
  'postmaster.pid',
  'postmaster.opts',
]);
const largestKept = 4 * 1024 * 1024;
/** Castagnoli's polynomial, reversed. */
const crc32c = 0x82f63b78;
const decompressedChunk = 256 * 1024;

/**
 * Unpacks a base backup while it is read, and compares every file with the manifest that PostgreSQL made for it. All of it is
 * durable when the control file gets its name, last of all: until then no server starts here.
 *
 * Fails with `damaged` for what is not what PostgreSQL sent, with `machine` for what can't be written.
 */
export async function unpackBackup(request: UnpackRequest): Promise<void> {
  const { directories, archives, manifest, signal } = request;
  const writer = new FileWriter();
  const sync = new FileSystemSync([
    directories.data,
    ...(directories.wal === null ? [] : [directories.wal]),
    ...directories.tablespaces.map(({ location }) => location),
  ]);
  const rows = manifest === undefined ? undefined : new ManifestReader(manifest());
  const kept = new Map<string, Buffer>();
  try {
    const state: UnpackState = { request, writer, sync, rows, kept, crc: await createCRC32(crc32c), unpacked: 0 };
    for (const { oid, body } of archives) {
      const root = oid === null ? directories.data : locationOf(directories, oid);
      await readTar(decompressed(stoppable(body(), signal)), new ArchiveSink(state, root, oid));
    }
    await rows?.finish();
    await writer.finish();
  } finally {
    await writer.abandon();
    await sync.settle();
    await rows?.close();
  }
  await linkTablespaces(directories, kept.get(tablespaceMap));
  await request.beforeControlFile(kept);
  await sync.finish();
  const control = kept.get(controlFile);
  if (control === undefined) throw new Failure('damaged', 'the backup holds no control file');
  await placeControlFile(directories.data, control);
}

interface UnpackState {
  readonly request: UnpackRequest;
  readonly writer: FileWriter;
  readonly sync: FileSystemSync;
  readonly rows: ManifestReader | undefined;
  readonly kept: Map<string, Buffer>;
  readonly crc: Awaited<ReturnType<typeof createCRC32>>;
  unpacked: number;
}

/** Writes one tar's members below its root, and checks each against the manifest. */
class ArchiveSink implements TarSink {
  readonly #state: UnpackState;
  readonly #root: string;
  readonly #oid: number | null;
  #member: TarMember | undefined;
  #file: WritingFile | undefined;
  #memory: Buffer[] | undefined;

  constructor(state: UnpackState, root: string, oid: number | null) {
    this.#state = state;
    this.#root = root;
    this.#oid = oid;
  }

  async begin(member: TarMember): Promise<void> {
    this.#member = member;
    const { path, kind, mode, sizeBytes } = member;
    if (kind === 'directory') await this.#makeDirectory(path, mode);
    if (kind === 'link') this.#checkLink(member);
    if (kind !== 'file') return;
    this.#state.crc.init();
    const isKept = this.#oid === null && keptNames.has(path);
    if (isKept && sizeBytes > largestKept) throw new Failure('damaged', `${path} of the backup has ${sizeBytes} bytes`);
    this.#memory = isKept ? [] : undefined;
    const isDropped = this.#oid === null && droppedNames.has(path);
    this.#file = isKept || isDropped ? undefined : await this.#state.writer.create(join(this.#root, path), mode);
  }

  async data(bytes: Buffer): Promise<void> {
    const { crc, rows, request, sync } = this.#state;
    if (rows !== undefined) crc.update(bytes);
    this.#state.unpacked += bytes.length;
    request.report(this.#state.unpacked);
    sync.written(this.#state.unpacked);
    this.#memory?.push(bytes);
    await this.#file?.write(bytes);
  }

  async end(): Promise<void> {
    const { kept, rows, crc } = this.#state;
    const member = this.#member;
    if (member?.kind !== 'file') return;
    this.#file?.end();
    if (this.#memory !== undefined) kept.set(member.path, Buffer.concat(this.#memory));
    const path = this.#oid === null ? member.path : `pg_tblspc/${this.#oid}/${member.path}`;
    const row = await rows?.take(path);
    if (row === undefined) return;
    if (row.sizeBytes === member.sizeBytes && row.crc === Number.parseInt(crc.digest('hex'), 16)) return;
    throw new Failure('damaged', `${path} of the backup is not the file that PostgreSQL sent`, {
      hint: 'Restore from another backup: landscape-backup list-backups. What was here before is put back by landscape-backup abandon-restore.',
    });
  }

  async #makeDirectory(path: string, mode: number): Promise<void> {
    const { directories } = this.#state.request;
    const isWal = this.#oid === null && (path === 'pg_wal' || path === 'pg_xlog');
    try {
      if (isWal && directories.wal !== null) await symlink(directories.wal, join(this.#root, path));
      else await mkdir(join(this.#root, path), { mode });
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw cannotMake(join(this.#root, path), error);
    }
  }

  /** Tablespaces are linked to where the plan wants them; PostgreSQL sends no other link. */
  #checkLink({ path, target }: TarMember): void {
    if (this.#oid === null && /^pg_tblspc\/\d+$/.test(path)) return;
    throw new Failure('damaged', `the backup holds a link ${path} to ${target}, which PostgreSQL does not send`);
  }
}

function cannotMake(path: string, error: unknown): Failure {
  return new Failure('machine', `${path} could not be made: ${errorCode(error) ?? String(error)}`, { cause: error });
}

function locationOf(directories: RestorePlan['directories'], oid: number): string {
  const found = directories.tablespaces.find((each) => each.oid === oid);
  if (found !== undefined) return found.location;
  throw new Failure('internal', `the plan has no place for the tablespace ${oid}`);
}

async function* stoppable(body: AsyncIterable<Uint8Array>, signal?: AbortSignal): AsyncIterable<Uint8Array> {
  for await (const chunk of body) {
    if (signal?.aborted === true) throw new Failure('machine', 'the restore was stopped');
    yield chunk;
  }
}

/** The chunks are not copied: whoever gets one owns it. An error of the source is passed on as it is. */
async function* decompressed(body: AsyncIterable<Uint8Array>): AsyncIterable<Buffer> {
  const transform = createZstdDecompress({ chunkSize: decompressedChunk });
  let sourceFailed = false;
  const watched = async function* () {
    try {
      yield* body;
    } catch (error) {
      sourceFailed = true;
      throw error;
    }
  };
  const running = pipeline(Readable.from(watched(), { objectMode: false }), transform);
  running.catch(() => undefined); // The same error comes out of the transform below.
  try {
    for await (const chunk of transform) if (Buffer.isBuffer(chunk)) yield chunk;
    await running;
  } catch (error) {
    const isOfZstd = errorCode(error)?.startsWith('ZSTD_') === true || errorCode(error)?.startsWith('ERR_') === true;
    if (sourceFailed || !isOfZstd) throw error;
    throw new Failure('damaged', `a part of the backup does not decompress: ${String(error)}`, { cause: error });
  }
}

/** Links where the plan wants the tablespaces, and the map by which recovery would link them where they were. */
async function linkTablespaces(
  { data, tablespaces }: RestorePlan['directories'],
  map: Buffer | undefined,
): Promise<void> {
  for (const { oid, location } of tablespaces) await symlink(location, join(data, 'pg_tblspc', String(oid)));
  if (map === undefined) return;
  const listed = map.toString('utf8').match(/^\d+(?= )/gm) ?? [];
  const unplanned = listed.find((oid) => !tablespaces.some((each) => String(each.oid) === oid));
  if (unplanned !== undefined) throw new Failure('damaged', `the backup's tablespace ${unplanned} is in no tar of it`);
  // Source: do_pg_backup_start and read_tablespace_map in xlog.c and xlogrecovery.c: a backslash before what would end a line.
  const lines = tablespaces.map(({ oid, location }) => `${oid} ${location.replaceAll(/[\n\r\\]/g, (c) => `\\${c}`)}\n`);
  await writeDurably(join(data, tablespaceMap), Buffer.from(lines.join('')), 'wx');
}

async function placeControlFile(data: string, contents: Buffer): Promise<void> {
  const folder = join(data, 'global');
  const temporary = join(folder, 'pg_control.landscape-backup');
  await writeDurably(temporary, contents, 'w');
  await rename(temporary, join(data, controlFile));
  await syncDirectory(folder);
}

async function writeDurably(path: string, contents: Buffer, flags: 'w' | 'wx'): Promise<void> {
  const handle = await open(path, flags, 0o600);
  try {
    await handle.writeFile(contents);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
