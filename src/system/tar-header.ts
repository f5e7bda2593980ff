import { Failure } from '../core/failure.ts';

/** One member of a tar as its header tells it. */
export interface TarMember {
  /** Relative, with plain names only: it can't leave the directory that it is unpacked into. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'link';
  readonly mode: number;
  readonly sizeBytes: number;
  /** Where a link points, else empty. */
  readonly target: string;
}

/** Longer names than a header holds, and larger sizes, stand in a member of its own before it. */
export interface TarExtension {
  readonly kind: 'extension';
  readonly sizeBytes: number;
}

/** Headers and contents come in blocks of this size. */
export const tarBlock = 512;

/**
 * Reads a header of a tar as PostgreSQL writes it (ustar, sizes from 8 GiB on in base 256) and as we do (with `extended`, the
 * records of the extension before it). `undefined` is a block of zeros, of which two end a tar. Anything else is `damaged`,
 * a path that leads elsewhere too.
 *
 * Source: tarCreateHeader in PostgreSQL's src/port/tar.c; it refuses longer names instead of extending the format.
 */
export function readTarHeader(
  block: Buffer,
  extended: ReadonlyMap<string, string> = new Map(),
): TarMember | TarExtension | undefined {
  const stored = octal(block, 148, 8);
  let sum = 8 * 0x20;
  let highest = 0;
  for (let at = 0; at < tarBlock; at += 1) {
    const byte = block[at] ?? 0;
    highest |= byte;
    if (at < 148 || at >= 156) sum += byte;
  }
  if (highest === 0) return undefined;
  if (sum !== stored) throw new Failure('damaged', 'the tar of the backup has a header with a wrong checksum');
  if (block[156] === 0x78) return { kind: 'extension', sizeBytes: size(block) };
  const prefix = text(block, 345, 155);
  const name = text(block, 0, 100);
  const whole = extended.get('path') ?? (prefix === '' ? name : `${prefix}/${name}`);
  const path = checkPath(whole.replace(/^\.\//, '').replace(/\/$/, ''));
  const kind = kindOf(block[156], path);
  const sizeBytes = kind === 'file' ? Number(extended.get('size') ?? size(block)) : 0;
  const target = extended.get('linkpath') ?? text(block, 157, 100);
  return { path, kind, mode: octal(block, 100, 8) & 0o777, sizeBytes, target };
}

/** The records of an extension. Source: pax(1), "pax Extended Header". */
export function readTarExtension(body: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at);
    const length = space < 0 ? NaN : Number(body.toString('latin1', at, space));
    if (!Number.isInteger(length) || length <= space - at || at + length > body.length) {
      throw new Failure('damaged', 'the tar has an extended header that can not be read');
    }
    const record = body.toString('utf8', space + 1, at + length - 1);
    const equals = record.indexOf('=');
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

/** What follows contents up to the next block. */
export function tarPadding(sizeBytes: number): number {
  return (tarBlock - (sizeBytes % tarBlock)) % tarBlock;
}

function kindOf(flag: number | undefined, path: string): TarMember['kind'] {
  if (flag === 0x30 || flag === 0) return 'file';
  if (flag === 0x35) return 'directory';
  if (flag === 0x32) return 'link';
  throw new Failure('damaged', `the tar of the backup holds ${path}, which is neither file, directory nor link`);
}

function checkPath(path: string): string {
  const names = path.split('/');
  if (path !== '' && !names.some((name) => name === '' || name === '..' || name === '.')) return path;
  throw new Failure('damaged', `the tar of the backup holds a path that leads elsewhere: ${JSON.stringify(path)}`);
}

function text(block: Buffer, at: number, length: number): string {
  const end = block.indexOf(0, at);
  return block.toString('utf8', at, end < 0 || end > at + length ? at + length : end);
}

function octal(block: Buffer, at: number, length: number): number {
  return Number.parseInt(text(block, at, length).trim() || '0', 8);
}

function size(block: Buffer): number {
  if ((block[124] ?? 0) < 0x80) return octal(block, 124, 12);
  let bytes = 0n;
  for (let at = 125; at < 136; at += 1) bytes = bytes * 256n + BigInt(block[at] ?? 0);
  return Number(bytes);
}
