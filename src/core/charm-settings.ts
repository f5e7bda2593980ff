import { lackingForS3, type DestinationAccess } from './destination-access.ts';
import type { Destination } from './destination.ts';
import { isFailure, type Failure } from './failure.ts';
import {
  unusable,
  withSecrets,
  type CharmConfig,
  type SecretAnswers,
  type SecretReader,
  type Unusable,
  type Usable,
} from './juju-secrets.ts';
import type { Proxies } from './proxy.ts';
import { withOffer, type S3Offer } from './s3-relation.ts';
import { setByJuju } from './juju-words.ts';
import { isSecretOption, options, parseSettings, type Settings } from './settings.ts';

/** The options of the charm, what its relation to a store says, and what Juju said of the secrets that either names. */
export interface CharmOptions {
  readonly config: CharmConfig;
  readonly offer: S3Offer | undefined;
  readonly secrets: SecretAnswers;
  readonly reader: SecretReader;
  /** Those of the model, for its charms. */
  readonly proxies: Proxies;
}

/** What the charm's options come to: settings and the text of their file, or why they can't be used. */
export type CharmSettings =
  | Unusable
  | {
      readonly ok: true;
      readonly settings: Settings;
      readonly text: string;
      /** The options that stand in a file of their own, because that of the settings is everybody's to read. */
      readonly credentials: Readonly<Record<string, string>>;
    };

const header =
  '# Written by the charm from the options of the application: juju config. Changes here are overwritten.\n';

/** A value that breaks its rule is told with the rule; what else is wrong is told with what is to be done. */
function nextOf({ message, hint }: Failure, application: string): string {
  if (hint === undefined || message.includes(', it must be ')) return `juju config ${application} …`;
  return setByJuju(hint, application);
}

/**
 * Makes the settings file from the charm's options and the repository that the peers agreed on. A value that breaks its rule
 * gives the failure that names option, value and rule; the file that lies there then stays in force.
 */
export function settingsFromConfig(
  { config, offer, secrets, reader, proxies }: CharmOptions,
  repositoryId: string | undefined,
): CharmSettings {
  const resolved = withSecrets(config, secrets, reader);
  if (!resolved.ok) return resolved;
  const together = withOffer(resolved.config, offer, secrets, reader);
  if (!together.ok) return together;
  const ways = proxyOptions(proxies);
  if (!ways.ok) return ways;
  const all = {
    ...together.config,
    ...ways.config,
    ...(repositoryId === undefined ? {} : { repository: repositoryId }),
  };
  try {
    const settings = parseSettings(all);
    const lack = lackOf(settings, reader);
    if (lack !== undefined) return lack;
    // JSON is YAML: any text is one line, and nothing in it is taken for a mark of YAML's.
    const credentials: Record<string, string> = {};
    for (const [name, value] of Object.entries(all)) if (isSecretOption(name)) credentials[name] = String(value);
    const lines = Object.entries(all)
      .filter(([name]) => !isSecretOption(name))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`);
    return { ok: true, settings, text: header + lines.join(''), credentials };
  } catch (error) {
    if (isFailure(error, 'settings')) return { ok: false, failure: error, next: nextOf(error, reader.application) };
    throw error;
  }
}

/** What a destination needs besides; without it the last good options are better than these. */
function lackOf({ destination, access, second }: Settings, { application }: SecretReader): Unusable | undefined {
  const first = lackingOption(destination, access);
  const other = second === undefined ? undefined : lackingOption(second.destination, second.access);
  if (first === undefined && other === undefined) return undefined;
  const which = first === undefined ? 'second destination' : 'destination';
  const option = first ?? `destination-2-${other ?? ''}`;
  const where = option.endsWith('s3-region') ? 'an S3 store without s3-endpoint, which is AWS' : 'an S3 store';
  return unusable(`option ${option} is empty, and the ${which} is ${where}`, `juju config ${application} ${option}=…`);
}

function lackingOption(destination: Destination | undefined, access: DestinationAccess): string | undefined {
  return destination?.kind === 's3' ? lackingForS3(access.s3) : undefined;
}

/** The model's proxies as options, for programs that run outside of hooks. */
function proxyOptions({ http, https, no }: Proxies): Usable | Unusable {
  if (http === undefined && https === undefined) return { ok: true, config: {} };
  const config: Record<string, string> = {};
  for (const [name, text] of [
    ['http-proxy', http],
    ['https-proxy', https],
    ['no-proxy', no],
  ] as const) {
    if (text === undefined) continue;
    const { schema, rule } = options[name];
    const read = schema.safeParse(text);
    if (!read.success) {
      const shown = isSecretOption(name) ? '(secret)' : JSON.stringify(text.slice(0, 200));
      const detail = read.error.issues[0]?.message ?? 'not understood';
      const message = `the model's setting juju-${name} is ${shown}, it must be ${rule} (${detail})`;
      return unusable(message, `juju model-config juju-${name}=…`);
    }
    config[name] = text;
  }
  return { ok: true, config };
}
