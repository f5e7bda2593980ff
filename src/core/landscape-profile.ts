import { readVariables, unquoted } from './environment-variables.ts';

/** How a Landscape unit was installed: it says which files there are and who else writes them. */
export type LandscapeProfile = 'charmed' | 'quickstart' | 'manual';

export const defaultServiceConfiguration = '/etc/landscape/service.conf';
export const defaultsFile = '/etc/default/landscape-server';
export const environmentFile = '/etc/environment';
export const maintenanceFile = '/opt/canonical/landscape/maintenance.txt';
export const hashIdFolder = '/var/lib/landscape/hash-id-databases';
/** The name of the drop-in that keeps Landscape's units from being started during a restore. */
export const fenceDropIn = '50-landscape-backup-fence.conf';

/** What tells the profile. Texts are undefined where the file is not there. */
export interface ProfileFacts {
  readonly serviceConfiguration: string | undefined;
  readonly defaults: string | undefined;
  /** The package `landscape-server-quickstart` is installed. */
  readonly hasQuickstart: boolean;
  /** PostgreSQL's configuration of a cluster lies on this machine. */
  readonly hasCluster: boolean;
}

/** Says how Landscape was installed here; `none` where it is not. */
export function decideProfile(facts: ProfileFacts): LandscapeProfile | 'none' {
  if (facts.serviceConfiguration === undefined && facts.defaults === undefined) return 'none';
  const variables = readVariables(facts.defaults ?? '');
  if (unquoted(variables.get('DEPLOYED_FROM')) === 'charm') return 'charmed';
  const runsAll = unquoted(variables.get('RUN_ALL')) === 'yes';
  return facts.hasQuickstart || (runsAll && facts.hasCluster) ? 'quickstart' : 'manual';
}

/**
 * What a restore does with files: `replace` puts production's there, `service`, `environment` and `defaults` merge line by line,
 * `reference` keeps them in the file set for a person and touches nothing.
 */
export type RestoreRule = 'replace' | 'service' | 'environment' | 'defaults' | 'reference';

/** A path of Landscape's; each part may have stars. Of several rules that fit a file the last one counts. */
interface PathRule {
  readonly path: string;
  readonly on: readonly LandscapeProfile[];
  readonly restore: RestoreRule;
  /** Without it Landscape can't be brought back. */
  readonly required?: true;
  /** Its contents are never told. */
  readonly secret?: true;
  /** Only links that fit are kept. */
  readonly linksOnly?: true;
  /** Only says what becomes of files that another rule has found. */
  readonly notSearched?: true;
}

const everywhere = ['charmed', 'quickstart', 'manual'] as const;
const notCharmed = ['quickstart', 'manual'] as const;

/**
 * The files of a Landscape unit, by how it was installed. Sources: the official guide to backup and restore, and what its list
 * leaves out (facts about Landscape, sections 1.5, 2.4 and 6).
 */
const rules: readonly PathRule[] = [
  { path: '/etc/landscape', on: everywhere, restore: 'replace', required: true, secret: true },
  // Who is registered where, which certificate a database or broker wants: that stays with the machine's endpoints.
  { path: '/etc/landscape/client.conf*', on: everywhere, restore: 'reference', notSearched: true },
  { path: '/etc/landscape/service.conf.*', on: everywhere, restore: 'reference', notSearched: true },
  { path: '/etc/landscape/postgres_client*', on: everywhere, restore: 'reference', notSearched: true },
  { path: '/etc/landscape/rabbitmq_client*', on: everywhere, restore: 'reference', notSearched: true },
  { path: defaultServiceConfiguration, on: everywhere, restore: 'service', required: true, secret: true },
  { path: defaultsFile, on: everywhere, restore: 'defaults', required: true },
  { path: environmentFile, on: everywhere, restore: 'environment', secret: true },
  { path: '/etc/cron.d/landscape-server', on: everywhere, restore: 'reference' },
  { path: '/etc/cron.d/ls_maintenance', on: everywhere, restore: 'replace' },
  { path: '/etc/rsyslog.d/20-landscape.conf', on: everywhere, restore: 'replace' },
  { path: '/etc/apt/preferences.d/landscape-server', on: everywhere, restore: 'reference' },
  { path: '/etc/systemd/system/landscape-*.d', on: everywhere, restore: 'replace' },
  {
    path: '/etc/systemd/system/landscape-*.d/deployment-mode.conf',
    on: ['charmed'],
    restore: 'reference',
    notSearched: true,
  },
  { path: '/etc/postfix/main.cf', on: everywhere, restore: 'reference' },
  { path: '/etc/postfix/sasl_passwd*', on: everywhere, restore: 'reference', secret: true },
  { path: '/var/lib/landscape-server/gnupg', on: everywhere, restore: 'replace', secret: true },
  { path: '/var/lib/landscape-server/gpg-passphrase.txt', on: everywhere, restore: 'replace', secret: true },
  { path: '/var/lib/landscape/blobs', on: everywhere, restore: 'replace' },
  { path: '/opt/canonical/landscape/configs/*', on: ['charmed'], restore: 'reference', linksOnly: true },
  { path: '/opt/canonical/landscape/configs/*', on: notCharmed, restore: 'replace', linksOnly: true },
  { path: '/etc/ssl/certs/landscape_server_ca.crt', on: ['charmed'], restore: 'reference' },
  { path: '/etc/ssl/certs/landscape_server*', on: notCharmed, restore: 'replace' },
  { path: '/etc/ssl/private/landscape_server*', on: notCharmed, restore: 'replace', secret: true },
  { path: '/etc/apache2/sites-available', on: notCharmed, restore: 'replace' },
  { path: '/etc/apache2/sites-enabled', on: notCharmed, restore: 'replace' },
  { path: '/etc/apache2/ports.conf', on: notCharmed, restore: 'replace' },
  { path: '/etc/letsencrypt', on: notCharmed, restore: 'replace', secret: true },
  { path: '/etc/rabbitmq', on: notCharmed, restore: 'reference', secret: true },
  // The database's own restore decides about these, setting by setting.
  { path: '/etc/postgresql/*/*', on: ['quickstart'], restore: 'reference' },
];

/** Below a repository of mirrored packages: what can't be fetched again. The packages are left out, they are huge. */
const repositoryPaths = ['*/*/conf', '*/.gnupg'];

const logFolder = '/var/log/landscape-server';

/** What is asked for beside the tables: what this machine's own files name, and the operator's wishes. */
export interface PathWishes {
  readonly serviceConfiguration: string;
  readonly repositoryPath: string;
  /** Certificates and keys that the enabled virtual hosts name. */
  readonly certificates: readonly string[];
  readonly includeLogs: boolean;
  readonly extraPaths: readonly string[];
}

/** A path to look for, possibly with stars. */
export interface WantedPath {
  readonly path: string;
  readonly linksOnly: boolean;
  /** Its absence is told as missing; of the others it is told as not there. */
  readonly required: boolean;
}

/** All paths that the file set of a unit looks for. */
export function wantedPaths(profile: LandscapeProfile, wishes: PathWishes): readonly WantedPath[] {
  const optional = (path: string) => ({ path, linksOnly: false, required: false });
  const required = (path: string) => ({ path, linksOnly: false, required: true });
  return [
    ...rules
      .filter((rule) => rule.on.includes(profile) && rule.notSearched !== true)
      .map(({ path, linksOnly, required: needed }) => ({
        path: path === defaultServiceConfiguration ? wishes.serviceConfiguration : path,
        linksOnly: linksOnly === true,
        required: needed === true,
      })),
    ...repositoryPaths.map((path) => optional(`${wishes.repositoryPath}/${path}`)),
    ...wishes.certificates.map(required),
    ...(wishes.includeLogs ? [optional(logFolder)] : []),
    ...wishes.extraPaths.map(required),
  ];
}

/** What a restore does with a file of a set, on a unit of this profile. `serviceConfiguration` is where the set's own lies. */
export function restoreRule(path: string, profile: LandscapeProfile, serviceConfiguration: string): RestoreRule {
  if (path === serviceConfiguration) return 'service';
  if (isWithin(path, logFolder)) return 'reference';
  const rule = rules.findLast((each) => each.on.includes(profile) && fits(path, each.path));
  if (rule !== undefined) return rule.restore;
  const known = rules.some((each) => fits(path, each.path));
  // Known, but not on this profile: what another kind of unit has. Unknown: a certificate, or an extra path.
  return known ? 'reference' : 'replace';
}

/** Tells whether a file holds secrets: a file set has them in clear. */
export function isSecret(path: string): boolean {
  return (
    /\.(key|gpg|pem)$|\/private\/|\/\.?gnupg(\/|$)|passw|passphrase/.test(path) ||
    rules.some((rule) => rule.secret === true && fits(path, rule.path))
  );
}

/** What belongs to this program, and what is never in a file set whoever asks for it. */
export function isOurs(path: string): boolean {
  return (
    isWithin(path, '/var/lib/landscape-backup') ||
    isWithin(path, '/opt/landscape-backup') ||
    path.startsWith('/etc/systemd/system/landscape-backup-') ||
    path.endsWith(`/${fenceDropIn}`) ||
    /^\/etc\/postgresql\/[^/]+\/[^/]+\/(start\.conf$|.*landscape-backup)/.test(path) ||
    /\/\.landscape-backup-[^/]*\.tmp$/.test(path)
  );
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/** A pattern fits the path itself and everything below it. */
function fits(path: string, pattern: string): boolean {
  const names = path.split('/');
  return pattern.split('/').every((part, index) => names[index] !== undefined && fitsName(names[index], part));
}

/** One name against one part of a pattern. */
export function fitsName(name: string, pattern: string): boolean {
  const text = pattern.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`).replaceAll('*', '.*');
  return new RegExp(`^${text}$`, 's').test(name);
}
