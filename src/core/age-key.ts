/**
 * Keys of the age format as text: bech32 of 32 bytes, `age1…` for a recipient and `AGE-SECRET-KEY-1…` for an identity.
 * Source: age specification v1, "The X25519 recipient type"; BIP 173 for bech32, without its limit of 90 characters.
 */
const letters = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const checksumLetters = 6;
const generators = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];

const recipientPrefix = 'age';
const identityPrefix = 'age-secret-key-';

/** A public key to which objects are encrypted: its text, and the point that the text stands for. */
export interface Recipient {
  readonly text: string;
  readonly point: Uint8Array;
}

/** Reads an X25519 recipient; `undefined` for a text that is none, recipients of plugins and other kinds included. */
export function readRecipient(text: string): Recipient | undefined {
  const point = text === text.toLowerCase() ? decode(text, recipientPrefix) : undefined;
  return point === undefined ? undefined : { text, point };
}

/** The recipient of a point. */
export function recipientOf(point: Uint8Array): Recipient {
  return { text: encode(point, recipientPrefix), point };
}

/** Reads the scalar of an X25519 identity; `undefined` for a text that is none. */
export function readIdentity(text: string): Uint8Array | undefined {
  return text === text.toUpperCase() ? decode(text.toLowerCase(), identityPrefix) : undefined;
}

/**
 * What people compare instead of the whole recipient: its last 16 letters. They hold its checksum and fifty bits of the key,
 * and can be read off what `age-keygen -y` prints without any tool.
 */
export function fingerprintOf({ text }: Pick<Recipient, 'text'>): string {
  return text.slice(-16);
}

/** Tells whether a text could be a fingerprint. */
export function isFingerprint(text: string): boolean {
  return text.length === 16 && lettersOf(text).every((letter) => letters.includes(letter));
}

function decode(text: string, prefix: string): Uint8Array | undefined {
  if (!text.startsWith(`${prefix}1`)) return undefined;
  const values = lettersOf(text.slice(prefix.length + 1)).map((letter) => letters.indexOf(letter));
  if (values.length < checksumLetters || values.includes(-1)) return undefined;
  if (checksum([...expanded(prefix), ...values]) !== 1) return undefined;
  return bytesOf(values.slice(0, -checksumLetters));
}

function encode(bytes: Uint8Array, prefix: string): string {
  const values = groupsOf(bytes);
  const sum = checksum([...expanded(prefix), ...values, 0, 0, 0, 0, 0, 0]) ^ 1;
  const tail = Array.from({ length: checksumLetters }, (_, index) => (sum >>> (5 * (5 - index))) & 31);
  return `${prefix}1${[...values, ...tail].map((value) => letters.charAt(value)).join('')}`;
}

/** Of keys, which have no other letters than those of ASCII: any other one is in no alphabet here. */
function lettersOf(text: string): readonly string[] {
  return text.split('');
}

function expanded(prefix: string): readonly number[] {
  const codes = lettersOf(prefix).map((letter) => letter.charCodeAt(0));
  return [...codes.map((code) => code >>> 5), 0, ...codes.map((code) => code & 31)];
}

function checksum(values: readonly number[]): number {
  let sum = 1;
  for (const value of values) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    for (const [bit, generator] of generators.entries()) if (((top >>> bit) & 1) === 1) sum ^= generator;
  }
  return sum >>> 0;
}

/** 32 bytes from groups of five bits; what pads the last one must be zero. */
function bytesOf(groups: readonly number[]): Uint8Array | undefined {
  const bytes: number[] = [];
  let held = 0;
  let bits = 0;
  for (const group of groups) {
    held = ((held << 5) | group) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((held >>> bits) & 0xff);
  }
  const isPadded = bits < 5 && (held & ((1 << bits) - 1)) === 0;
  return bytes.length === 32 && isPadded ? Uint8Array.from(bytes) : undefined;
}

function groupsOf(bytes: Uint8Array): readonly number[] {
  const groups: number[] = [];
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      groups.push((held >>> bits) & 31);
    }
  }
  if (bits > 0) groups.push((held << (5 - bits)) & 31);
  return groups;
}
