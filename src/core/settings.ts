import { Cron } from 'croner';
import * as z from 'zod';
import type { DestinationAccess } from './destination-access.ts';
import {
  firstOptions,
  firstPlace,
  option,
  secondOptions,
  secondPlace,
  type DestinationPlace,
  type Option,
} from './destination-options.ts';
import type { Destination } from './destination.ts';
import {
  confirmedSchema,
  confirmHint,
  identitySchema,
  recipientsSchema,
  unconfirmed,
  type Encryption,
} from './encryption.ts';
import { Failure } from './failure.ts';
import { redact } from './secret.ts';
import { noProxySchema, proxySchema, type Proxies } from './proxy.ts';

/** What the operator decides, validated. */
export interface Settings {
  /** Where the repository lives; `undefined` as long as the option is empty. */
  readonly destination: Destination | undefined;
  /** How to get in there. */
  readonly access: DestinationAccess;
  /** Where everything is kept once more; `undefined` as long as the option destination-2 is empty. */
  readonly second: DestinationPlace | undefined;
  readonly encryption: Encryption;
  /** The id of the repository that must lie there; `undefined` as long as none was chosen. Written by the charm. */
  readonly repository: string | undefined;
  readonly walArchiving: boolean;
  /** How WAL comes to the repository, where it does. */
  readonly walMethod: 'archive' | 'stream';
  readonly archiveTimeoutSeconds: number;
  readonly compressionLevel: number;
  readonly backupSchedule: Schedule | undefined;
  readonly retentionCount: number;
  readonly retentionDays: number;
  /** Whether the logs of Landscape go into its file sets. */
  readonly includeLogs: boolean;
  /** What else file sets of Landscape units hold. */
  readonly extraPaths: readonly string[];
  readonly restartPostgresql: boolean;
  /** How fast base backups and file sets may be sent; `undefined` as fast as it goes. WAL knows no limit. */
  readonly uploadBytesPerSecond: number | undefined;
  /** The clusters to keep, as `15/main`; empty means the machine's only one. */
  readonly clusters: readonly string[];
}

/** A cron expression and the zone in which it is meant; `undefined` is the host's. */
export interface Schedule {
  readonly expression: string;
  readonly zone: string | undefined;
}

const wholeNumber = (low: number, high: number) => z.number().int().min(low).max(high);

const repositoryIdSchema = z.string().transform((text, context): string | undefined => {
  if (text === '') return undefined;
  if (/^[0-9a-f]{32}$/.test(text)) return text;
  context.addIssue('32 hexadecimal digits');
  return z.NEVER;
});

const scheduleSchema = z.string().transform((text, context): Schedule | undefined => {
  if (text === '') return undefined;
  const read = readSchedule(text);
  if (typeof read !== 'string') return read;
  context.addIssue(read);
  return z.NEVER;
});

const pathsSchema = z.string().transform((text, context): readonly string[] => {
  const paths = text.split(/\s+/).filter((path) => path !== '');
  const wrong = paths.find((path) => !isPlainPath(path));
  if (wrong === undefined) return [...new Set(paths.map((path) => path.replace(/\/$/, '')))];
  context.addIssue(wrong);
  return z.NEVER;
});

/** An absolute path below the root whose every part names something; the last may be followed by a slash. */
function isPlainPath(path: string): boolean {
  const parts = path.replace(/\/$/, '').split('/').slice(1);
  const named = parts.every((part) => part !== '' && part !== '.' && part !== '..');
  return path.startsWith('/') && parts.length > 0 && named && !path.includes('\0');
}

/**
 * Every option of the settings file, by its name. The charm's `config.yaml` has the same names, defaults and rules, all but
 * `repository`, `clusters` and the proxies, which the charm knows by itself.
 */
export const options = {
  ...firstOptions,
  ...secondOptions,
  'encryption-recipients': option('', 'empty, or X25519 recipients of age (age1…), parted by spaces', recipientsSchema),
  'encryption-confirmed': option(
    '',
    'empty, or the last 16 letters of each recipient that was compared, parted by spaces',
    confirmedSchema,
  ),
  'encryption-identity': option('', 'empty, or identities of age (AGE-SECRET-KEY-1…), one a line', identitySchema),
  'http-proxy': option('', 'empty, or the URL of a proxy', proxySchema),
  'https-proxy': option('', 'empty, or the URL of a proxy', proxySchema),
  'no-proxy': option('', 'empty, or hosts and networks, parted by commas', noProxySchema),
  repository: option('', 'empty, or the id of the repository that must lie there', repositoryIdSchema),
  'wal-archiving': option(true, 'true or false', z.boolean()),
  'wal-method': option('archive', 'archive or stream', z.enum(['archive', 'stream'])),
  'archive-timeout': option(60, 'a whole number of seconds from 0 (never force) to 86400', wholeNumber(0, 86_400)),
  'compression-level': option(1, 'a whole number from 1 to 19, the level of zstd', wholeNumber(1, 19)),
  'backup-schedule': option(
    '0 2 * * *',
    'empty, or five cron fields with CRON_TZ=<zone> in front if wanted',
    scheduleSchema,
  ),
  'retention-count': option(7, 'a whole number of backups from 1 to 10000', wholeNumber(1, 10_000)),
  'retention-days': option(7, 'a whole number of days from 0 to 36500', wholeNumber(0, 36_500)),
  'include-logs': option(false, 'true or false', z.boolean()),
  'extra-paths': option('', 'empty, or absolute paths without "..", parted by spaces or line ends', pathsSchema),
  'restart-postgresql': option(false, 'true or false', z.boolean()),
  'upload-limit': option(
    0,
    'a whole number of MB/s from 0 (none) to 100000',
    wholeNumber(0, 100_000).transform((megabytes) => (megabytes === 0 ? undefined : megabytes * 1_000_000)),
  ),
  clusters: option([], 'a list of clusters such as 15/main', z.array(z.string().regex(/^\d+(\.\d+)?\/[^/\s]+$/))),
};

/** The name of an option. */
export type OptionName = keyof typeof options;

/** Options whose values nobody may read, and that stand in no message. */
const secretOptionNames: readonly string[] = [
  'sftp-private-key',
  's3-access-key',
  's3-secret-key',
  'destination-2-sftp-private-key',
  'destination-2-s3-access-key',
  'destination-2-s3-secret-key',
  'encryption-identity',
  'http-proxy',
  'https-proxy',
] satisfies OptionName[];

/** Tells whether nobody may read an option's value: it stands in no message, and in no file that everybody may read. */
export function isSecretOption(name: string): boolean {
  return secretOptionNames.includes(name);
}

/** The names of all options, in the order of the table in the README. */
export const optionNames = Object.keys(options).filter(isOptionName);

function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(options, name);
}

/**
 * Checks what stands in the settings file; what is left out has its default.
 *
 * A value that breaks its rule is a `settings` failure that names option, value and rule; so is an option that we don't know.
 */
export function parseSettings(raw: unknown): Settings {
  const given = z.record(z.string(), z.unknown()).safeParse(raw ?? {});
  if (!given.success) throw new Failure('settings', 'the settings are not a list of "option: value" lines');
  for (const name of Object.keys(given.data)) {
    if (isOptionName(name)) continue;
    throw new Failure('settings', `the settings hold an unknown option "${name}"`, {
      hint: `The options are ${optionNames.join(', ')}.`,
    });
  }
  const take = <T>(name: OptionName, { schema, rule, default: fallback }: Option<T>): T => {
    // "backup-schedule:" with nothing behind it means empty, as it reads, and not the default.
    const value = Object.hasOwn(given.data, name) ? (given.data[name] ?? '') : fallback;
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const detail = parsed.error.issues.find((issue) => issue.code === 'custom')?.message;
    // Before it is cut: half a secret is not known for one.
    const text = redact(JSON.stringify(value));
    const shown = isSecretOption(name) ? '(secret)' : text.length > 200 ? `${text.slice(0, 200)}…` : text;
    throw new Failure(
      'settings',
      `option ${name} is ${shown}, it must be ${rule}${detail === undefined ? '' : ` (${detail})`}`,
      {
        hint: `Correct the option ${name}; until then the last good settings stay in force where there are any.`,
      },
    );
  };
  const first = firstPlace(take, proxiesOf(take));
  return {
    ...first,
    second: secondPlace(take, first),
    encryption: confirmedEncryption({
      recipients: take('encryption-recipients', options['encryption-recipients']),
      confirmed: take('encryption-confirmed', options['encryption-confirmed']),
      identities: take('encryption-identity', options['encryption-identity']),
    }),
    repository: take('repository', options.repository),
    walArchiving: take('wal-archiving', options['wal-archiving']),
    walMethod: take('wal-method', options['wal-method']),
    archiveTimeoutSeconds: take('archive-timeout', options['archive-timeout']),
    compressionLevel: take('compression-level', options['compression-level']),
    backupSchedule: take('backup-schedule', options['backup-schedule']),
    retentionCount: take('retention-count', options['retention-count']),
    retentionDays: take('retention-days', options['retention-days']),
    includeLogs: take('include-logs', options['include-logs']),
    extraPaths: take('extra-paths', options['extra-paths']),
    restartPostgresql: take('restart-postgresql', options['restart-postgresql']),
    uploadBytesPerSecond: take('upload-limit', options['upload-limit']),
    clusters: take('clusters', options.clusters),
  };
}

function proxiesOf(take: <T>(name: OptionName, option: Option<T>) => T): Proxies | undefined {
  return inForce({
    http: take('http-proxy', options['http-proxy']),
    https: take('https-proxy', options['https-proxy']),
    no: take('no-proxy', options['no-proxy']),
  });
}

/** Nothing is encrypted to a key that nobody has looked at; where an identity is at hand, whoever stores tries it. */
function confirmedEncryption(encryption: Encryption): Encryption {
  const open = unconfirmed(encryption);
  if (open.length === 0 || encryption.identities.length > 0) return encryption;
  const texts = open.map(({ text }) => text).join(', ');
  throw new Failure('settings', `option encryption-recipients holds ${texts}, which nobody has confirmed`, {
    hint: confirmHint(encryption),
  });
}

/** Where no proxy is named, those of the environment count. */
function inForce(proxies: Proxies): Proxies | undefined {
  return proxies.http === undefined && proxies.https === undefined ? undefined : proxies;
}

/** Reads a cron expression with `CRON_TZ=<zone>` in front if wanted, or says what is wrong with it. */
export function readSchedule(text: string): Schedule | string {
  const match = /^(?:CRON_TZ=(\S+)\s+)?(.+)$/.exec(text.trim());
  const [, zone, expression = ''] = match ?? [];
  if (expression.trim().split(/\s+/).length !== 5) return 'five fields: minute hour day month weekday';
  try {
    // A paused job without a function only computes dates.
    const cron = new Cron(expression, { paused: true, ...(zone === undefined ? {} : { timezone: zone }) });
    const never = cron.nextRun(new Date(Date.UTC(2024, 0, 1))) === null;
    return never ? 'it never comes due' : { expression, zone };
  } catch (error) {
    return error instanceof Error ? error.message : 'not understood';
  }
}
