import { randomBytes } from 'node:crypto';
import { fingerprintOf, type Recipient } from '../core/age-key.ts';
import { Failure } from '../core/failure.ts';
import {
  headerEnd,
  headerLimit,
  isSignedBy,
  readHeader,
  writeHeader,
  type AgeHeader,
  type Stanza,
} from './age-header.ts';
import { fileKeyBytes, unwrapFileKey, wrapFileKey, type Identity } from './age-keys.ts';
import { decryptPayload, encryptPayload, nonceBytes, payloadKey } from './age-stream.ts';

/** A mark of ours that says whose identities open a file: an age file does not tell by itself. */
const recipientsMark = 'landscape-backup-to';

/** Encrypted bytes, and the header that goes in front of them. */
export interface Encrypted {
  /** The header, with marks of ours in front of its recipients; a file has one. */
  header(marks: readonly Stanza[]): Uint8Array;
  readonly payload: AsyncIterable<Uint8Array>;
}

/** Encrypts a stream to all of some recipients, any of whose identities opens it. `age -d` reads what comes of it. */
export function encrypt(plain: AsyncIterable<Uint8Array>, recipients: readonly Recipient[]): Encrypted {
  const fileKey = randomBytes(fileKeyBytes);
  const nonce = randomBytes(nonceBytes);
  const payload = async function* () {
    yield nonce;
    yield* encryptPayload(plain, payloadKey(fileKey, nonce));
  };
  return {
    header: (marks) => headerOf(fileKey, marks, recipients),
    payload: payload(),
  };
}

/** Tells whether a file says of itself that it is for exactly these recipients. */
export function isFor({ stanzas }: AgeHeader, recipients: readonly Recipient[]): boolean {
  const told = stanzas.find(({ args }) => args[0] === recipientsMark)?.args.slice(1) ?? [];
  const wanted = new Set(recipients.map(fingerprintOf));
  return wanted.size === told.length && told.every((each) => wanted.has(each));
}

/** The header of the same file for other recipients: the file's own key, wrapped anew. Marks of ours stay. */
export function headerFor({ stanzas }: AgeHeader, fileKey: Uint8Array, recipients: readonly Recipient[]): Uint8Array {
  const at = stanzas.findIndex(({ args }) => args[0] === recipientsMark);
  return headerOf(fileKey, stanzas.slice(0, Math.max(0, at)), recipients);
}

function headerOf(fileKey: Uint8Array, marks: readonly Stanza[], recipients: readonly Recipient[]): Uint8Array {
  const to = { args: [recipientsMark, ...recipients.map(fingerprintOf)], body: new Uint8Array() };
  return writeHeader(fileKey, [...marks, to, ...recipients.map((each) => wrapFileKey(fileKey, each))]);
}

/** An age file that is being read: its header, and what follows it. */
export interface OpenedAge {
  readonly header: AgeHeader;
  readonly payload: AsyncIterable<Uint8Array>;
  /** Lets go of the stream, for who does not read the payload to its end. */
  close(): Promise<void>;
}

/** Reads the header of an age file from a stream. */
export async function openAge(stored: AsyncIterable<Uint8Array>, key: string): Promise<OpenedAge> {
  const source = stored[Symbol.asyncIterator]();
  const close = async () => {
    await source.return?.();
  };
  try {
    let first: Buffer = Buffer.alloc(0);
    let end = headerEnd(first);
    while (end === undefined) {
      const next = await source.next();
      if (next.done === true || first.byteLength > headerLimit) {
        throw new Failure('damaged', `the object ${key} ends before its header of the age format does`);
      }
      first = Buffer.concat([first, next.value]);
      end = headerEnd(first);
    }
    const rest = first.subarray(end);
    const payload = async function* () {
      if (rest.byteLength > 0) yield rest;
      yield* { [Symbol.asyncIterator]: () => source };
    };
    return { header: readHeader(first.subarray(0, end), key), payload: payload(), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The key of a file, from the first identity that it was made for. Fails with `refused` where none opens it. */
export function openFileKey(header: AgeHeader, identities: readonly Identity[], key: string): Uint8Array {
  for (const identity of identities) {
    for (const stanza of header.stanzas) {
      const fileKey = unwrapFileKey(stanza, identity);
      if (fileKey === undefined) continue;
      if (isSignedBy(fileKey, header)) return fileKey;
      throw new Failure('damaged', `the header of the object ${key} was changed after it was stored`);
    }
  }
  const wanted = header.stanzas.find(({ args }) => args[0] === recipientsMark)?.args.slice(1) ?? [];
  const given = identities.map(({ recipient }) => fingerprintOf(recipient));
  if (wanted.some((each) => given.includes(each))) {
    throw new Failure('damaged', `the object ${key} is for the identity that was given, which does not open it`, {
      hint: 'Look for disk errors at the destination.',
    });
  }
  throw new Failure(
    'refused',
    `the object ${key} is encrypted to ${listOf(wanted)}, the identity that was given is of ${listOf(given)}`,
    { hint: 'Give the identity whose recipient (age-keygen -y) ends like that.' },
  );
}

function listOf(fingerprints: readonly string[]): string {
  return fingerprints.map((each) => `age1…${each}`).join(', ') || 'recipients that it does not name';
}

/** The plain bytes of an age file. Fails as `openFileKey` and `decryptPayload` do. */
export async function* decrypt(
  opened: OpenedAge,
  identities: readonly Identity[],
  key: string,
): AsyncIterable<Uint8Array> {
  try {
    yield* decryptWith(opened, openFileKey(opened.header, identities, key), key);
  } finally {
    await opened.close();
  }
}

/** The plain bytes of an age file whose own key is known. Fails as `decryptPayload` does. */
export async function* decryptWith(
  { payload, close }: OpenedAge,
  fileKey: Uint8Array,
  key: string,
): AsyncIterable<Uint8Array> {
  const source = payload[Symbol.asyncIterator]();
  try {
    let first: Buffer = Buffer.alloc(0);
    while (first.byteLength < nonceBytes) {
      const next = await source.next();
      if (next.done === true) throw new Failure('damaged', `the object ${key} is cut off`);
      first = Buffer.concat([first, next.value]);
    }
    const rest = async function* () {
      yield first.subarray(nonceBytes);
      yield* { [Symbol.asyncIterator]: () => source };
    };
    yield* decryptPayload(rest(), payloadKey(fileKey, first.subarray(0, nonceBytes)), key);
  } finally {
    await close();
  }
}
