import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { Failure } from '../core/failure.ts';

/** A part of the header of an age file: for a recipient, or a mark of ours that `age` passes over. */
export interface Stanza {
  /** Its type and what belongs to it: visible letters, no spaces. */
  readonly args: readonly string[];
  readonly body: Uint8Array;
}

/** What stands in front of the encrypted bytes. */
export interface AgeHeader {
  readonly stanzas: readonly Stanza[];
  /** The header's bytes up to where its MAC begins: what the MAC is of. */
  readonly signed: Uint8Array;
  readonly mac: Uint8Array;
}

/** The first line of every age file. Source: age specification v1, "File format". */
const intro = 'age-encryption.org/v1';
const columns = 64;
const macBytes = 32;
/** More than twenty recipients and our marks need. */
export const headerLimit = 16 * 1024;

/** The bytes of a header, its MAC included. */
export function writeHeader(fileKey: Uint8Array, stanzas: readonly Stanza[]): Uint8Array {
  const lines = stanzas.flatMap(({ args, body }) => [`-> ${args.join(' ')}`, ...wrapped(base64(body))]);
  const signed = Buffer.from([intro, ...lines, '---'].join('\n'), 'latin1');
  return Buffer.concat([signed, Buffer.from(` ${base64(macOf(fileKey, signed))}\n`, 'latin1')]);
}

/** Where the header ends in the first bytes of an age file; `undefined` as long as it does not. */
export function headerEnd(bytes: Buffer): number | undefined {
  const mac = bytes.indexOf('\n---', 0, 'latin1');
  const end = mac < 0 ? -1 : bytes.indexOf('\n', mac + 1);
  return end < 0 ? undefined : end + 1;
}

/** Reads a whole header. `key` names the object in the `damaged` failure. */
export function readHeader(bytes: Buffer, key: string): AgeHeader {
  const lines = bytes.toString('latin1').split('\n');
  const fault = () => new Failure('damaged', `the object ${key} does not begin with a header of the age format`);
  if (lines.shift() !== intro || lines.pop() !== '') throw fault();
  const mac = readBase64(/^--- (.{43})$/.exec(lines.pop() ?? '')?.[1] ?? '-');
  if (mac?.byteLength !== macBytes) throw fault();
  const stanzas: Stanza[] = [];
  while (lines.length > 0) {
    const stanza = readStanza(lines);
    if (stanza === undefined) throw fault();
    stanzas.push(stanza);
  }
  return { stanzas, mac, signed: bytes.subarray(0, bytes.byteLength - ` ${base64(mac)}\n`.length) };
}

/** The first stanza of a header of which only the first bytes are there; `undefined` when it is not whole. */
export function firstStanza(bytes: Buffer): Stanza | undefined {
  const lines = bytes.toString('latin1').split('\n').slice(0, -1);
  return lines.shift() === intro ? readStanza(lines) : undefined;
}

/** Tells whether a header is the one that was made with this key. */
export function isSignedBy(fileKey: Uint8Array, { signed, mac }: AgeHeader): boolean {
  return timingSafeEqual(macOf(fileKey, signed), mac);
}

/** Takes a stanza's lines from the front: its arguments, then base64 in full lines and a shorter last one. */
function readStanza(lines: string[]): Stanza | undefined {
  const args = /^-> ([!-~]+(?: [!-~]+)*)$/.exec(lines.shift() ?? '')?.[1]?.split(' ');
  let text = '';
  for (;;) {
    const line = lines.shift();
    if (line === undefined || line.length > columns) return undefined;
    text += line;
    if (line.length < columns) break;
  }
  const body = readBase64(text);
  return args === undefined || body === undefined ? undefined : { args, body };
}

function macOf(fileKey: Uint8Array, signed: Uint8Array): Uint8Array {
  const key = Buffer.from(hkdfSync('sha256', fileKey, new Uint8Array(), 'header', 32));
  return createHmac('sha256', key).update(signed).digest();
}

function wrapped(text: string): readonly string[] {
  const lines: string[] = [];
  for (let at = 0; at <= text.length; at += columns) lines.push(text.slice(at, at + columns));
  return lines;
}

/** Base64 without padding, as the format wants it everywhere. */
export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64').replace(/=+$/, '');
}

/** Reads base64 in the only form that stands for these bytes; `undefined` for any other text. */
export function readBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return base64(bytes) === text ? bytes : undefined;
}
