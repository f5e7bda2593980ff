import { createCRC32 } from 'hash-wasm';
import { open, type FileHandle } from 'node:fs/promises';
import { tarHeaders, type TarHead } from '../../system/tar-header-writer.ts';
import { tarBlock, tarPadding } from '../../system/tar-header.ts';
import type { ManifestWriter } from './manifest-writer.ts';
import { cannotRead, unlessGone, type FoundMember } from './walk.ts';
import type { CheckedFile, PageChecker } from './page-checker.ts';

type MemberStats = Pick<FoundMember['stats'], 'mode' | 'uid' | 'gid' | 'size' | 'mtime'>;

/** Where a member of a tar comes from and how it is called. */
export interface MemberSource {
  /** Where the file lies. */
  readonly file: string;
  /** Its name in the tar. */
  readonly name: string;
  /** Its path in the manifest; null for what the manifest does not speak of, as WAL. */
  readonly listed: string | null;
  readonly stats: MemberStats;
  /** Which of its relation's files it is; `undefined` for a file whose pages carry no checksums. */
  readonly relationNumber: number | undefined;
}

/** What all tars of a backup share. */
export interface BackupTarOptions {
  readonly manifest: ManifestWriter | undefined;
  /** Undefined where the cluster keeps no checksums. */
  readonly pages: PageChecker | undefined;
  /** Throws when the backup is lost; asked before every stretch that is read. */
  readonly guard: () => void;
}

/** Castagnoli's polynomial, reversed. */
const crc32c = 0x82f63b78;
const stretchBytes = 1024 * 1024;
/** A stretch is written over when it is long compressed: garbage of a megabyte each would take more memory than all else. */
const stretchesInUse = 4;
/** What is smaller is joined: a compressor takes as long to be called as for a hundred kilobytes. */
const gatherBytes = 256 * 1024;
/** The names by which the server calls the owner of everything, whoever it is. Source: tarCreateHeader in tar.c. */
const owner = 'postgres';

/** Makes members of tars as the server does for `BASE_BACKUP`, and their rows in the manifest. */
export class BackupTar {
  readonly #options: BackupTarOptions;
  readonly #crc: Awaited<ReturnType<typeof createCRC32>>;
  /** For what is copied at once, when it is gathered: with a turn of its own it would have a large one written over too soon. */
  readonly #small = Buffer.allocUnsafeSlow(gatherBytes);
  readonly #buffers = Array.from({ length: stretchesInUse }, () => Buffer.allocUnsafeSlow(stretchBytes));
  #read = 0;
  #bytes = 0;

  private constructor(options: BackupTarOptions, crc: Awaited<ReturnType<typeof createCRC32>>) {
    this.#options = options;
    this.#crc = crc;
  }

  static async begin(options: BackupTarOptions): Promise<BackupTar> {
    return new BackupTar(options, await createCRC32(crc32c));
  }

  /** How many bytes of files have been given out. */
  get plainBytes(): number {
    return this.#bytes;
  }

  /** A directory; a link that stands for one is one here. */
  directory(name: string, stats: MemberStats): Buffer {
    return tarHeaders(head(`${name}/`, 'directory', stats, 0));
  }

  /**
   * A file, as long as it was when it was found: what has grown since is cut, what was cut since is filled with zeros, and
   * recovery brings the rest. False when it has gone. A stretch of less than `gatherBytes` is good until the next one is asked
   * for, any other until the fourth like it after it.
   */
  async *file(source: MemberSource): AsyncGenerator<Uint8Array, boolean> {
    const { file, name, listed, stats } = source;
    const handle = await unlessGone(file, async () => await open(file, 'r'));
    if (handle === undefined) return false;
    try {
      yield tarHeaders(head(name, 'file', stats, stats.size));
      this.#crc.init();
      let at = 0;
      for await (const stretch of this.#stretches(handle, source)) {
        this.#crc.update(stretch);
        this.#bytes += stretch.byteLength;
        at += stretch.byteLength;
        yield stretch;
      }
      const zeros = Buffer.alloc(Math.min(stats.size - at, stretchBytes));
      for (; at < stats.size; at += zeros.byteLength) {
        const some = zeros.subarray(0, stats.size - at);
        this.#crc.update(some);
        yield some;
      }
      yield Buffer.alloc(tarPadding(stats.size));
    } finally {
      await handle.close();
    }
    this.#list(listed, stats.size, stats.mtime);
    return true;
  }

  /** A file whose contents are at hand. */
  *contents(name: string, contents: Buffer, stats: Omit<MemberStats, 'size'>, isListed = true): Iterable<Uint8Array> {
    yield tarHeaders(head(name, 'file', stats, contents.byteLength));
    yield contents;
    yield Buffer.alloc(tarPadding(contents.byteLength));
    this.#crc.init();
    this.#crc.update(contents);
    this.#bytes += contents.byteLength;
    this.#list(isListed ? name : null, contents.byteLength, stats.mtime);
  }

  /** What ends a tar. */
  end(): Buffer {
    return Buffer.alloc(2 * tarBlock);
  }

  async *#stretches(handle: FileHandle, { file, listed, name, stats, relationNumber }: MemberSource) {
    const { guard, pages } = this.#options;
    const checked: CheckedFile | undefined =
      relationNumber === undefined
        ? undefined
        : {
            path: listed ?? name,
            number: relationNumber,
            reread: async (at) => await readAt(handle, file, at, Buffer.allocUnsafeSlow(pages?.pageBytes ?? 0)),
          };
    let bad = 0;
    for (let at = 0; at < stats.size;) {
      guard();
      const stretch = await readAt(handle, file, at, this.#buffer(stats.size - at));
      if (stretch.byteLength === 0) return;
      if (checked !== undefined && pages !== undefined) bad = await pages.check(checked, stretch, at, bad);
      at += stretch.byteLength;
      yield stretch;
    }
  }

  #buffer(bytes: number): Buffer {
    if (bytes < gatherBytes) return this.#small.subarray(0, bytes);
    const buffer = this.#buffers[this.#read % stretchesInUse] ?? Buffer.alloc(0);
    this.#read += 1;
    return buffer.subarray(0, bytes);
  }

  #list(path: string | null, sizeBytes: number, modifiedAt: Date): void {
    if (path === null) return;
    this.#options.manifest?.add({ path, sizeBytes, crc: Number.parseInt(this.#crc.digest('hex'), 16) }, modifiedAt);
  }
}

function head(name: string, kind: TarHead['kind'], stats: Omit<MemberStats, 'size'>, sizeBytes: number): TarHead {
  const { mode, uid, gid, mtime } = stats;
  return { name, kind, mode: mode & 0o7777, owner, group: owner, uid, gid, sizeBytes, target: null, modifiedAt: mtime };
}

/** Fills a buffer from a place in a file on; what is given back is shorter where the file ends before. */
async function readAt(handle: FileHandle, path: string, at: number, buffer: Buffer): Promise<Buffer> {
  const bytes = buffer.byteLength;
  let filled = 0;
  while (filled < bytes) {
    const { bytesRead } = await handle.read(buffer, filled, bytes - filled, at + filled).catch((error: unknown) => {
      throw cannotRead(path, error);
    });
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/**
 * Joins small stretches, of which it asks for any number while the last large one is still in use: what it joins is copied, and
 * large ones are passed on as they are.
 */
export async function* gathered(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let small: Uint8Array[] = [];
  let bytes = 0;
  for await (const stretch of body) {
    if (bytes > 0 && bytes + stretch.byteLength > gatherBytes) {
      yield Buffer.concat(small);
      small = [];
      bytes = 0;
    }
    if (stretch.byteLength >= gatherBytes) {
      yield stretch;
      continue;
    }
    small.push(Uint8Array.from(stretch)); // Its buffer is written over while others are gathered.
    bytes += stretch.byteLength;
  }
  if (bytes > 0) yield Buffer.concat(small);
}
