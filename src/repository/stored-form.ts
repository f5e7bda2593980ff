import { createHash } from 'node:crypto';
import type { Recipient } from '../core/age-key.ts';
import { Failure } from '../core/failure.ts';
import { decrypt, decryptWith, encrypt, headerFor, openAge, openFileKey } from './age.ts';
import { firstStanza, headerLimit, isSignedBy, type AgeHeader, type Stanza } from './age-header.ts';
import type { Keys } from './keys.ts';
import type { Repository } from './repository.ts';
import {
  decompressed,
  isSameSeal,
  readSeal,
  readToEnd,
  sealFrame,
  sealOf,
  sealSchema,
  unsealed,
  type CompressedBody,
  type Seal,
} from './seal.ts';
import { parseJson } from '../system/files.ts';
import { giveBack } from '../system/memory.ts';

/** How the name of an encrypted object ends: what its name says is what it is. */
export const ageSuffix = '.age';

/** The first mark in the header of a sealed object: its seal, readable without a key. */
const sealMark = 'landscape-backup-seal';

/** What an encrypted object is behind its header, where it was made in memory: so it can be compared without a key. */
interface Payload {
  readonly length: number;
  readonly sha256: string;
}

/**
 * The stored form of a sealed object: its seal, readable without a key, then one zstd frame; where the repository is
 * encrypted all of it is an age file of that frame.
 */
export async function* storedForm(
  keys: Keys,
  seal: Seal,
  compressed: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const recipients = keys.recipients();
  if (recipients === undefined) {
    yield sealFrame(seal);
    yield* compressed;
    return;
  }
  const { header, payload } = encrypt(compressed, recipients);
  yield header([sealStanza(seal, undefined)]);
  yield* payload;
}

/** A stored form that is in memory. */
interface StoredChunks {
  readonly chunks: readonly Uint8Array[];
  /** Gives its memory back, for when nobody reads it any more, a request that is overdue neither. */
  release(): void;
}

/** The same for what is in memory anyway; encrypting uses it up, or all of it would be there twice. */
export async function storedChunks(keys: Keys, { seal, chunks: compressed }: CompressedBody): Promise<StoredChunks> {
  const recipients = keys.recipients();
  if (recipients === undefined) return releasable(sealFrame(seal), compressed);
  const { header, payload } = encrypt(usedUp(compressed), recipients);
  const chunks: Uint8Array[] = [];
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of payload) {
    chunks.push(chunk);
    hash.update(chunk);
    length += chunk.byteLength;
  }
  return releasable(header([sealStanza(seal, { length, sha256: hash.digest('hex') })]), chunks);
}

async function* usedUp(chunks: Uint8Array[]): AsyncIterable<Uint8Array> {
  for (let next = chunks.shift(); next !== undefined; next = chunks.shift()) {
    yield next;
    if (next.buffer !== chunks[0]?.buffer) giveBack(next);
  }
}

function releasable(head: Uint8Array, chunks: readonly Uint8Array[]): StoredChunks {
  return { chunks: [head, ...chunks], release: () => chunks.forEach(giveBack) };
}

/** The plain bytes of a sealed object; the stream fails unless they are those of its seal. */
export async function* plainForm(
  keys: Keys,
  stored: AsyncIterable<Uint8Array>,
  key: string,
): AsyncIterable<Uint8Array> {
  if (!key.endsWith(ageSuffix)) {
    yield* unsealed(stored, key);
    return;
  }
  const opened = await openAge(stored, key);
  try {
    const { seal } = sealIn(opened.header.stanzas[0], key);
    yield* decompressed(decrypt(opened, keys.identities(), key), seal, key);
  } finally {
    await opened.close();
  }
}

/** Reads the seal from the first `sealRoom` bytes of a sealed object. */
export async function readObjectSeal(beginning: AsyncIterable<Uint8Array>, key: string): Promise<Seal> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of beginning) chunks.push(chunk);
  const first = Buffer.concat(chunks);
  return key.endsWith(ageSuffix) ? sealIn(firstStanza(first), key).seal : readSeal(first, key).seal;
}

/**
 * Reads an encrypted object to its end without a key, and compares it with what its seal tells of its encrypted bytes. Fails
 * with `damaged` where they differ; one that was not made in memory tells only of its plain bytes.
 */
export async function compareEncrypted(stored: AsyncIterable<Uint8Array>, key: string): Promise<void> {
  const { header, payload, close } = await openAge(stored, key);
  try {
    const told = sealIn(header.stanzas[0], key).payload;
    const found = await sealOf(payload);
    if (told === undefined || isSameSeal(told, found)) return;
    throw new Failure('damaged', `the object ${key} has other encrypted bytes than were stored`);
  } finally {
    await close();
  }
}

function sealStanza({ length, sha256 }: Seal, payload: Payload | undefined): Stanza {
  const told = payload === undefined ? [] : [String(payload.length), payload.sha256];
  return { args: [sealMark, '1', String(length), sha256, ...told], body: new Uint8Array() };
}

function sealIn(
  stanza: Stanza | undefined,
  key: string,
): { readonly seal: Seal; readonly payload: Payload | undefined } {
  const [mark, format, length, sha256, payloadLength, payloadSha256, ...more] = stanza?.args ?? [];
  if (mark !== sealMark || format !== '1' || more.length > 0) {
    throw new Failure('damaged', `the object ${key} does not begin with its seal`);
  }
  const read = (lengthText: string | undefined, sha: string | undefined) =>
    parseJson(
      JSON.stringify({ format: 1, length: Number(lengthText), sha256: sha }),
      sealSchema,
      `the seal of the object ${key}`,
    );
  return {
    seal: read(length, sha256),
    payload: payloadLength === undefined ? undefined : read(payloadLength, payloadSha256),
  };
}

/**
 * Reads a sealed object that is encrypted with this key to its end. Fails with `damaged` unless its header was made with the
 * key, and unless its plain bytes are those of its seal.
 */
export async function proveSealed(stored: AsyncIterable<Uint8Array>, fileKey: Uint8Array, key: string): Promise<Seal> {
  const opened = await openAge(stored, key);
  try {
    if (!isSignedBy(fileKey, opened.header))
      throw new Failure('damaged', `the header of the object ${key} was changed`);
    const { seal } = sealIn(opened.header.stanzas[0], key);
    await readToEnd(decompressed(decryptWith(opened, fileKey, key), seal, key));
    return seal;
  } finally {
    await opened.close();
  }
}

/** An encrypted object as it is for other recipients: another header in front of the same payload. */
export async function* forOthers(
  stored: AsyncIterable<Uint8Array>,
  fileKey: Uint8Array,
  recipients: readonly Recipient[],
  key: string,
): AsyncIterable<Uint8Array> {
  const { header, payload, close } = await openAge(stored, key);
  try {
    yield headerFor(header, fileKey, recipients);
    yield* payload;
  } finally {
    await close();
  }
}

/** How an object without a seal is called: by what it is where the repository is encrypted. */
export function storedName({ isEncrypted }: Keys, name: string): string {
  return isEncrypted ? name + ageSuffix : name;
}

/** Bytes that have no seal of their own, as one age file where the repository is encrypted. */
export async function* encryptedForm(keys: Keys, plain: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const recipients = keys.recipients();
  if (recipients === undefined) {
    yield* plain;
    return;
  }
  const { header, payload } = encrypt(plain, recipients);
  yield header([]);
  yield* payload;
}

/** The bytes that `encryptedForm` was given. `key` names the object or the first of its parts. */
export async function* openedForm(
  keys: Keys,
  stored: AsyncIterable<Uint8Array>,
  key: string,
): AsyncIterable<Uint8Array> {
  yield* keys.isEncrypted ? decrypt(await openAge(stored, key), keys.identities(), key) : stored;
}

/** The header of an encrypted object, without its payload. */
export async function readAgeHeader(beginning: AsyncIterable<Uint8Array>, key: string): Promise<AgeHeader> {
  const { header, close } = await openAge(beginning, key);
  await close();
  return header;
}

/** Tries whether what is at hand opens an encrypted object. Fails as reading it would; reads no more than its beginning. */
export async function proveObjectOpens({ keys }: Pick<Repository, 'keys'>, open: OpenBeginning): Promise<void> {
  const identities = keys.identities();
  const { stored, key } = await open({ start: 0, end: headerLimit });
  openFileKey(await readAgeHeader(stored, key), identities, key);
}

/** Opens a stretch of an object and says under which key it was found. */
export type OpenBeginning = (range: { start: number; end: number }) => Promise<{
  readonly key: string;
  readonly stored: AsyncIterable<Uint8Array>;
}>;
