import { Failure } from '../core/failure.ts';

/** An answer of the store that is no success, and no other attempt would change. */
export class S3Refusal extends Error {
  readonly status: number;
  readonly code: string;
  /** An attempt before it may have done the work: its answer never came. */
  readonly isAfterUncertain: boolean;

  constructor(answer: { readonly status: number; readonly code: string; readonly isAfterUncertain: boolean }) {
    super(`${answer.status} ${answer.code}`);
    this.name = 'S3Refusal';
    this.status = answer.status;
    this.code = answer.code;
    this.isAfterUncertain = answer.isAfterUncertain;
  }
}

/** Tells whether an error is the store's answer with one of these codes. */
export function isS3Refusal(error: unknown, ...codes: readonly string[]): error is S3Refusal {
  return error instanceof S3Refusal && (codes.length === 0 || codes.includes(error.code));
}

/** Tells whether the store says that a condition was not met: the key is taken. */
export function isTaken(error: unknown): error is S3Refusal {
  return error instanceof S3Refusal && (error.status === 412 || error.code === 'PreconditionFailed');
}

interface Saying {
  readonly kind: 'unavailable' | 'refused';
  readonly what: string;
  readonly hint: string;
}

const keys = 'Compare the options s3-access-key and s3-secret-key with what the store gave you.';
const place = 'Compare the options destination, s3-endpoint and s3-region with what the store gave you.';
const wait = 'Make room there; what waits is kept and tried again.';

const sayings: Readonly<Record<string, Saying>> = {
  AccessDenied: {
    kind: 'refused',
    what: 'access denied',
    hint: 'This access key needs s3:ListBucket, s3:ListBucketMultipartUploads, s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts on this bucket.',
  },
  InvalidAccessKeyId: { kind: 'refused', what: 'the store does not know the access key', hint: keys },
  SignatureDoesNotMatch: { kind: 'refused', what: 'the secret key does not belong to the access key', hint: keys },
  RequestTimeTooSkewed: {
    kind: 'refused',
    what: "this machine's clock and the store's are too far apart",
    hint: 'Set the clocks by NTP on both sides.',
  },
  NoSuchBucket: {
    kind: 'unavailable',
    what: 'there is no such bucket',
    hint: `Create it at the store. ${place}`,
  },
  PermanentRedirect: { kind: 'refused', what: 'the bucket lies elsewhere', hint: place },
  AuthorizationHeaderMalformed: { kind: 'refused', what: 'the bucket lies in another region', hint: place },
  IllegalLocationConstraintException: { kind: 'refused', what: 'the bucket lies in another region', hint: place },
  QuotaExceeded: { kind: 'unavailable', what: 'the quota is used up', hint: `Raise the quota or make room. ${wait}` },
  InsufficientStorage: { kind: 'unavailable', what: 'the store is full', hint: wait },
  XMinioStorageFull: { kind: 'unavailable', what: 'the store is full', hint: wait },
};

/** What the store's answer means for an object or bucket; any other error passes as it is, above all that of a body. */
export function s3Failure(error: unknown, url: string): unknown {
  if (!(error instanceof S3Refusal)) return error;
  const { status, code } = error;
  const fallback: Saying =
    status === 403 || status === 401
      ? { kind: 'refused', what: `access denied (${code})`, hint: keys }
      : { kind: 'refused', what: `the store said ${status} ${code}`, hint: place };
  const { kind, what, hint } = sayings[code] ?? fallback;
  return new Failure(kind, `${url}: ${what}`, { hint, cause: error });
}
