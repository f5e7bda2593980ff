import * as z from 'zod';
import {
  caSchema,
  endpointSchema,
  hostKeysSchema,
  privateKeySchema,
  regionSchema,
  s3KeySchema,
  uriStyleSchema,
  type DestinationAccess,
} from './destination-access.ts';
import { readDestination, type Destination } from './destination.ts';
import { Failure } from './failure.ts';
import type { Proxies } from './proxy.ts';

/** One line of the settings file: its default and its rule in words, shown when a value breaks it. */
export interface Option<T> {
  readonly default: unknown;
  readonly rule: string;
  readonly schema: z.ZodType<T>;
}

export function option<T>(defaultValue: unknown, rule: string, schema: z.ZodType<T>): Option<T> {
  return { default: defaultValue, rule, schema };
}

/** A destination, and how to get in there. */
export interface DestinationPlace {
  readonly destination: Destination;
  readonly access: DestinationAccess;
}

const destinationSchema = z.string().transform((text, context): Destination | undefined => {
  if (text === '') return undefined;
  const read = readDestination(text);
  if (typeof read !== 'string') return read;
  context.addIssue(read);
  return z.NEVER;
});

const destination = option(
  '',
  'empty, /an/absolute/path, file:///an/absolute/path, sftp://user@host/path or s3://bucket/folder',
  destinationSchema,
);
const hostKey = option('', "empty, or the server's public keys, one a line", hostKeysSchema);
const privateKey = option('', 'empty, or the text of a private key without passphrase', privateKeySchema);
const endpoint = option('', 'empty, or the URL of the store without bucket', endpointSchema);
const region = option('', 'empty, or the name of a region', regionSchema);
const uriStyle = option('', 'empty, path or host', uriStyleSchema);
const accessKey = option('', 'empty, or the access key', s3KeySchema);
const secretKey = option('', 'empty, or the secret key', s3KeySchema);
const ca = option('', 'empty, or certificates as PEM', caSchema);

/** Where the repository lies, and what lets in there. */
export const firstOptions = {
  destination,
  'sftp-host-key': hostKey,
  'sftp-private-key': privateKey,
  's3-endpoint': endpoint,
  's3-region': region,
  's3-uri-style': uriStyle,
  's3-access-key': accessKey,
  's3-secret-key': secretKey,
  's3-ca': ca,
};

/** The same for the second destination: nothing of the first's lets in there. */
export const secondOptions = {
  'destination-2': destination,
  'destination-2-sftp-host-key': hostKey,
  'destination-2-sftp-private-key': privateKey,
  'destination-2-s3-endpoint': endpoint,
  'destination-2-s3-region': region,
  'destination-2-s3-uri-style': uriStyle,
  'destination-2-s3-access-key': accessKey,
  'destination-2-s3-secret-key': secretKey,
  'destination-2-s3-ca': ca,
};

/** Reads one option of what was given, or fails with what is wrong with it. */
type Take = <T>(name: keyof typeof firstOptions | keyof typeof secondOptions, option: Option<T>) => T;

/** The destination of the options, and its access. */
export function firstPlace(
  take: Take,
  proxies: Proxies | undefined,
): { readonly destination: Destination | undefined; readonly access: DestinationAccess } {
  return { destination: take('destination', destination), access: accessOf(take, '', proxies) };
}

/** The second destination. Fails with `settings` where it is the first once more, or one lies in the other. */
export function secondPlace(
  take: Take,
  first: { readonly destination: Destination | undefined; readonly access: DestinationAccess },
): DestinationPlace | undefined {
  const found = take('destination-2', destination);
  const access = accessOf(take, 'destination-2-', first.access.s3.proxies);
  if (found === undefined || first.destination === undefined) return undefined;
  const place = { destination: found, access };
  refuseOverlap({ destination: first.destination, access: first.access }, place);
  return place;
}

function refuseOverlap(one: DestinationPlace, other: DestinationPlace): void {
  const inside = (outer: string, inner: string) => inner === outer || inner.startsWith(`${outer}/`);
  const [a, b] = [one.destination.url, other.destination.url];
  if (!inside(a, b) && !inside(b, a)) return;
  // The same bucket at two stores is two.
  if (one.destination.kind === 's3' && one.access.s3.endpoint !== other.access.s3.endpoint) return;
  throw new Failure(
    'settings',
    `option destination-2 is "${b}", it must be another place than the option destination, "${a}", and neither in the other`,
    { hint: 'Name a place on another machine, or leave destination-2 empty.' },
  );
}

function accessOf(take: Take, prefix: '' | 'destination-2-', proxies: Proxies | undefined): DestinationAccess {
  return {
    sftp: {
      hostKeys: take(`${prefix}sftp-host-key`, hostKey) ?? [],
      privateKey: take(`${prefix}sftp-private-key`, privateKey),
    },
    s3: {
      endpoint: take(`${prefix}s3-endpoint`, endpoint),
      region: take(`${prefix}s3-region`, region),
      uriStyle: take(`${prefix}s3-uri-style`, uriStyle),
      accessKey: take(`${prefix}s3-access-key`, accessKey),
      secretKey: take(`${prefix}s3-secret-key`, secretKey),
      ca: take(`${prefix}s3-ca`, ca),
      proxies,
    },
  };
}
