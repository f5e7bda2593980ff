import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';
import { fingerprintOf, readIdentity, recipientOf, type Recipient } from '../core/age-key.ts';
import type { Secret } from '../core/secret.ts';
import { base64, readBase64, type Stanza } from './age-header.ts';

/** A key that opens: its private half, and the recipient that its objects were encrypted to. */
export interface Identity {
  readonly recipient: Recipient;
  readonly privateKey: KeyObject;
}

// X25519 keys as DER: a fixed head, then the 32 bytes. Source: RFC 8410, section 7.
const privateHead = Buffer.from('302e020100300506032b656e04220420', 'hex');
const publicHead = Buffer.from('302a300506032b656e032100', 'hex');
const pointBytes = 32;
/** The bytes from which everything in one age file is derived. */
export const fileKeyBytes = 16;
const tagBytes = 16;
const info = 'age-encryption.org/v1/X25519';
/** Each wrapping key is used once. */
const zeroNonce = new Uint8Array(12);

/** The key pair of an identity; `undefined` for a text that is none. */
export function openIdentity(secret: Secret): Identity | undefined {
  const scalar = readIdentity(secret.reveal());
  if (scalar === undefined) return undefined;
  const privateKey = createPrivateKey({ key: Buffer.concat([privateHead, scalar]), format: 'der', type: 'pkcs8' });
  return { recipient: recipientOf(pointOf(createPublicKey(privateKey))), privateKey };
}

/** The stanza that gives a file's key to a recipient. Source: age specification v1, "The X25519 recipient type". */
export function wrapFileKey(fileKey: Uint8Array, { point }: Recipient): Stanza {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  const share = pointOf(publicKey);
  const cipher = createCipheriv('chacha20-poly1305', wrapKey(privateKey, point, share, point), zeroNonce, {
    authTagLength: tagBytes,
  });
  const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
  return { args: ['X25519', base64(share)], body };
}

/** The file's key from a stanza that was made for an identity; `undefined` from any other one. */
export function unwrapFileKey({ args, body }: Stanza, { recipient, privateKey }: Identity): Uint8Array | undefined {
  const [type, text = '', ...more] = args;
  const share = readBase64(text);
  if (type !== 'X25519' || more.length > 0 || share?.byteLength !== pointBytes) return undefined;
  if (body.byteLength !== fileKeyBytes + tagBytes) return undefined;
  try {
    const key = wrapKey(privateKey, share, share, recipient.point);
    const decipher = createDecipheriv('chacha20-poly1305', key, zeroNonce, { authTagLength: tagBytes });
    decipher.setAuthTag(body.subarray(fileKeyBytes));
    return Buffer.concat([decipher.update(body.subarray(0, fileKeyBytes)), decipher.final()]);
  } catch {
    return undefined; // Made for somebody else, or damaged: the bytes of the stanza don't tell which.
  }
}

/** Tells whether a key opens what is encrypted to a recipient. */
export function opensFor({ recipient }: Identity, other: Recipient): boolean {
  return fingerprintOf(recipient) === fingerprintOf(other) && recipient.text === other.text;
}

function wrapKey(own: KeyObject, other: Uint8Array, share: Uint8Array, recipient: Uint8Array): Uint8Array {
  const publicKey = createPublicKey({ key: Buffer.concat([publicHead, other]), format: 'der', type: 'spki' });
  const secret = diffieHellman({ privateKey: own, publicKey });
  return Buffer.from(hkdfSync('sha256', secret, Buffer.concat([share, recipient]), info, 32));
}

function pointOf(key: KeyObject): Uint8Array {
  return key.export({ format: 'der', type: 'spki' }).subarray(publicHead.byteLength);
}
