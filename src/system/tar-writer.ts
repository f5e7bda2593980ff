import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Failure } from '../core/failure.ts';
import { readExactly, type TreeEntry } from './file-tree.ts';
import { holdDirectory, type HeldDirectory } from './held-directory.ts';
import { tarBlock, tarPadding } from './tar-header.ts';

/**
 * A tree as a tar that every `tar` reads (POSIX.1-2001): owners by name, links as links, the same bytes for the same tree.
 *
 * It is made as it is read and never held. Every file must still be what the tree says, else that is a `busy` failure; one
 * that has grown since is stored as it was.
 */
export async function* writeTar(root: string, entries: readonly TreeEntry[]): AsyncIterable<Uint8Array> {
  let folder: { readonly path: string; readonly held: HeldDirectory } | undefined;
  try {
    for (const entry of entries) {
      yield headersOf(entry);
      if (entry.kind !== 'file') continue;
      const path = dirname(entry.path);
      if (folder?.path !== path) {
        await folder?.held.close();
        folder = undefined;
        folder = { path, held: await holdAgain(root, entry.path) };
      }
      yield* contentsOf(folder.held, entry);
      yield Buffer.alloc(tarPadding(entry.sizeBytes));
    }
  } finally {
    await folder?.held.close();
  }
  yield Buffer.alloc(2 * tarBlock);
}

async function holdAgain(root: string, path: string): Promise<HeldDirectory> {
  try {
    return await holdDirectory(root, dirname(path));
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw changed(path, error);
  }
}

async function* contentsOf(folder: HeldDirectory, entry: TreeEntry): AsyncIterable<Uint8Array> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(folder.at(basename(entry.path)), flags).catch((error: unknown) => {
    throw changed(entry.path, error);
  });
  try {
    const hash = createHash('sha256');
    for await (const chunk of readExactly(handle, entry.sizeBytes, entry.path)) {
      hash.update(chunk);
      yield chunk;
    }
    if (hash.digest('hex') !== entry.sha256) throw changed(entry.path, undefined);
  } finally {
    await handle.close();
  }
}

function changed(path: string, cause: unknown): Failure {
  return new Failure('busy', `${path} changed while it was read`, { cause });
}

function headersOf(entry: TreeEntry): Buffer {
  const name = entry.path.slice(1) + (entry.kind === 'directory' ? '/' : '');
  const target = entry.target ?? '';
  const seconds = Math.max(0, Math.floor(entry.modifiedAt.getTime() / 1000));
  const long = {
    path: fits(name, 100) ? undefined : name,
    linkpath: fits(target, 100) ? undefined : target,
    uname: fits(entry.owner, 32) ? undefined : entry.owner,
    gname: fits(entry.group, 32) ? undefined : entry.group,
    size: entry.sizeBytes < 8 ** 11 ? undefined : String(entry.sizeBytes),
  };
  const records = Object.entries(long).flatMap(([key, value]) => (value === undefined ? [] : [paxRecord(key, value)]));
  const header = ustar({ ...entry, name, target, seconds, flag: flags[entry.kind] });
  if (records.length === 0) return header;
  const body = Buffer.from(records.join(''));
  const about = ustar({
    name: 'PaxHeaders/member',
    target: '',
    seconds,
    flag: 'x',
    mode: 0o644,
    owner: '',
    group: '',
    sizeBytes: body.length,
  });
  return Buffer.concat([about, body, Buffer.alloc(tarPadding(body.length)), header]);
}

const flags = { file: '0', link: '2', directory: '5' } as const;

function fits(text: string, bytes: number): boolean {
  return Buffer.byteLength(text) <= bytes;
}

/** `<length> <key>=<value>\n`, where the length counts its own digits. Source: pax(1), "pax Extended Header". */
function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

interface Ustar {
  readonly name: string;
  readonly target: string;
  readonly seconds: number;
  readonly flag: string;
  readonly mode: number;
  readonly owner: string;
  readonly group: string;
  readonly sizeBytes: number;
}

function ustar({ name, target, seconds, flag, mode, owner, group, sizeBytes }: Ustar): Buffer {
  const block = Buffer.alloc(tarBlock);
  const octal = (value: number, at: number, length: number) => {
    block.write(value.toString(8).padStart(length - 1, '0'), at, length - 1, 'ascii');
  };
  put(block, name, 0, 100);
  octal(mode, 100, 8);
  octal(0, 108, 8); // Numbers of users mean nothing on another machine: names count, below.
  octal(0, 116, 8);
  octal(sizeBytes < 8 ** 11 ? sizeBytes : 0, 124, 12);
  octal(Math.min(seconds, 8 ** 11 - 1), 136, 12);
  block.write('        ', 148, 'ascii');
  block.write(flag, 156, 'ascii');
  put(block, target, 157, 100);
  block.write('ustar\u000000', 257, 'ascii');
  put(block, owner, 265, 32);
  put(block, group, 297, 32);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148, 'ascii');
  return block;
}

function put(block: Buffer, text: string, at: number, length: number): void {
  const bytes = Buffer.from(text);
  bytes.copy(block, at, 0, Math.min(bytes.length, length));
}
