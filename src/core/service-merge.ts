import {
  decodeValue,
  effectiveValue,
  entriesOf,
  keyName,
  nameOf,
  sectionName,
  valuesOf,
  withoutIndent,
  type ServiceConfiguration,
} from './service-configuration.ts';

/** Whose database passwords count after a restore: one decision for a restored cluster and all its Landscape units. */
export type Credentials = 'spare' | 'production';

/** What becomes of one key, and why. It names keys only, never values. */
export interface MergeDecision {
  readonly name: string;
  readonly from: 'spare' | 'production' | 'operator';
  readonly why: string;
}

/** A line of `juju config` that only the operator can run: the option, and the value that it shall have. */
export interface OperatorOption {
  readonly option: string;
  readonly value: string;
  readonly secret: boolean;
}

/** The merged file with its decisions. */
export interface Merged {
  readonly configuration: ServiceConfiguration;
  readonly decisions: readonly MergeDecision[];
  readonly operator: readonly OperatorOption[];
}

/** What a merge starts from. */
export interface MergeRequest {
  readonly production: ServiceConfiguration;
  readonly spare: ServiceConfiguration;
  readonly credentials: Credentials;
  readonly profile: 'charmed' | 'quickstart' | 'manual';
}

/** One rule of the table: the first one whose name fits counts. */
interface Rule {
  readonly name: RegExp;
  readonly why: string;
}

/** The spare's on every profile: where it connects to, and what only fits there. */
const endpointRules: readonly Rule[] = [
  { name: /^(stores|DEFAULT|schema)\.(host|port|ssl.*)$/, why: "the spare's database" },
  { name: /^broker\./, why: "the spare's message broker, with its credentials" },
  { name: /^package_search\.(host|port|user|username|password)$/, why: "the spare's package search" },
];

const credentialRules: readonly Rule[] = [
  { name: /^(stores|schema)\.(.*_)?(user|password|superuser|owner_role)$/, why: 'credentials of the database' },
  { name: /^DEFAULT\.(.*_)?(user|password|username)$/, why: 'credentials of the database' },
];

/** What the landscape-server charm writes by itself; it would take back, or not notice, what we wrote. */
const charmRules: readonly Rule[] = [
  {
    name: /^(stores|schema)\.(host|port|user|password|store_user|store_password)$/,
    why: 'the charm writes it from its relation',
  },
  { name: /^[^.]+\.(root_url|deployment_mode|workers|base_port)$/, why: 'the charm writes it from its options' },
  { name: /^appserver\.(secret_token|(openid|oidc)_.*)$/, why: 'the charm writes it from its options' },
  { name: /^api\.cookie_encryption_key$/, why: 'the charm writes it from its options' },
];

/** Options of the charm by which the operator gives production's values, each with the key that it becomes. */
const charmOptions: readonly {
  readonly name: string;
  readonly option: string;
  readonly secret: boolean;
  readonly also?: readonly string[];
}[] = [
  { name: 'appserver.secret_token', option: 'secret_token', secret: true },
  { name: 'api.cookie_encryption_key', option: 'cookie_encryption_key', secret: true },
  { name: 'system.root_url', also: ['api.root_url', 'package_upload.root_url'], option: 'root_url', secret: false },
  { name: 'system.deployment_mode', option: 'deployment_mode', secret: false },
  { name: 'appserver.openid_provider_url', option: 'openid_provider_url', secret: false },
  { name: 'appserver.openid_logout_url', option: 'openid_logout_url', secret: false },
  { name: 'appserver.oidc_issuer', option: 'oidc_issuer', secret: false },
  { name: 'appserver.oidc_client_id', option: 'oidc_client_id', secret: false },
  { name: 'appserver.oidc_client_secret', option: 'oidc_client_secret', secret: true },
  { name: 'appserver.oidc_logout_url', option: 'oidc_logout_url', secret: false },
];

/** The same for credentials of the database, where production's come back. */
const charmCredentials: typeof charmOptions = [
  { name: 'stores.password', option: 'db_landscape_password', secret: true },
  { name: 'schema.store_user', option: 'db_schema_user', secret: false },
  { name: 'schema.store_password', option: 'db_schema_password', secret: true },
];

/** Says which keys stay the spare's whatever production had, with the reason; `undefined` are production's. */
export function spareKeeps(
  name: string,
  { credentials, profile }: Pick<MergeRequest, 'credentials' | 'profile'>,
): string | undefined {
  const endpoint = endpointRules.find((rule) => rule.name.test(name));
  if (endpoint !== undefined) return endpoint.why;
  const credential = credentialRules.find((rule) => rule.name.test(name));
  if (credential !== undefined) return credentials === 'spare' ? credential.why : undefined;
  return profile === 'charmed' ? charmRules.find((rule) => rule.name.test(name))?.why : undefined;
}

/**
 * Merges production's `service.conf` into a spare's, key by key: the spare is never pointed at production.
 *
 * The result has production's lines in their order; where a key stays the spare's, its value stands there. What the spare
 * refers to (`%(name)s`) stays the spare's too.
 */
export function mergeServiceConfiguration(request: MergeRequest): Merged {
  const { production, spare } = request;
  const kept = keptNames(request);
  const spares = valuesOf(spare);
  const productions = valuesOf(production);
  const decisions: MergeDecision[] = [];
  for (const name of new Set([...productions.keys(), ...spares.keys()])) {
    const why = kept.get(name);
    if (why !== undefined) decisions.push({ name, from: 'spare', why });
    else if (!productions.has(name)) decisions.push({ name, from: 'production', why: 'production does not have it' });
    else if (productions.get(name) !== spares.get(name)) decisions.push({ name, from: 'production', why: 'restored' });
  }
  const operator = operatorOptions(request, productions, spares);
  for (const { name } of operator) decisions.push({ name, from: 'operator', why: 'juju config gives it to all units' });
  return {
    configuration: join(request, kept),
    decisions: decisions.sort((a, b) => (a.name < b.name ? -1 : 1)),
    operator: operator.map(({ option, value, secret }) => ({ option, value, secret })),
  };
}

/** The names that stay the spare's, with those that their values refer to. */
function keptNames(request: MergeRequest): ReadonlyMap<string, string> {
  const kept = new Map<string, string>();
  const spares = valuesOf(request.spare);
  const productions = valuesOf(request.production);
  const hosts = productionHosts(request);
  for (const name of [...productions.keys(), ...spares.keys()]) {
    const why = spareKeeps(name, request) ?? namesProduction(name, productions.get(name), hosts);
    if (why !== undefined) kept.set(name, why);
  }
  // A map is walked through to what is added meanwhile.
  for (const [name, why] of kept) {
    for (const other of referredBy(name, spares.get(name) ?? '')) if (!kept.has(other)) kept.set(other, why);
  }
  return kept;
}

/** The names that a value takes its text from, when interpolation is on: `%(key)s`, `${key}`, `${section:key}`. */
function referredBy(name: string, value: string): readonly string[] {
  const section = name.slice(0, name.indexOf('.'));
  return [...value.matchAll(/%\(([^)]+)\)s|\$\{(?:([^}:]+):)?([^}:]+)\}/g)].flatMap(([, plain, other, key]) => {
    const referred = keyName(plain ?? key ?? '');
    return [`${other === undefined ? section : sectionName(other)}.${referred}`, `DEFAULT.${referred}`];
  });
}

const endpointNames = ['stores.host', 'schema.host', 'broker.host', 'package_search.host'] as const;

/** The machines that production connects to and the spare does not. */
export function productionHosts({ production, spare }: Pick<MergeRequest, 'production' | 'spare'>): readonly string[] {
  const hostsOf = (configuration: ServiceConfiguration) => {
    const values = valuesOf(configuration);
    const texts = endpointNames.map((name) => effectiveValue(values, name) ?? '');
    return texts.flatMap((text) => text.split(/[\s,]+/)).map(hostOf);
  };
  const own = new Set(hostsOf(spare));
  const isLocal = (host: string) => /^(localhost|127\..*|::1|)$/.test(host);
  return [...new Set(hostsOf(production))].filter((host) => !isLocal(host) && !own.has(host));
}

function hostOf(address: string): string {
  const bare = address.replace(/^[a-z+]+:\/\//i, '').replace(/^.*@/, '');
  return (/^\[([^\]]*)\]/.exec(bare)?.[1] ?? bare.replace(/[/:].*$/, '')).toLowerCase();
}

/** Says when a text names one of these hosts. A short name counts where it can only be a host's: in an address. */
export function namesHost(text: string, hosts: readonly string[]): boolean {
  return hosts.some((host) => {
    const name = host.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
    const isLong = /[.:]/.test(host);
    const pattern = isLong
      ? `(?<![a-z0-9.-])${name}(?![a-z0-9-]|\\.[a-z0-9])`
      : `(//|@)${name}(?![a-z0-9.-])|(?<![a-z0-9.-])${name}:\\d`;
    return new RegExp(pattern, 'i').test(text);
  });
}

/** A key that no rule knows, and whose value would have the spare connect to production. What people type is no connection. */
function namesProduction(name: string, value: string | undefined, hosts: readonly string[]): string | undefined {
  if (value === undefined || name.endsWith('.root_url')) return undefined;
  const plain = decodeValue(value);
  const isAddress = name.startsWith('stores.') && /\/\/|@|^\//.test(plain);
  const isHost = /host|server|address|url/.test(name) && hosts.includes(plain.trim().toLowerCase());
  return isAddress || isHost || namesHost(plain, hosts) ? "production's value is an address of production" : undefined;
}

function join(request: MergeRequest, kept: ReadonlyMap<string, string>): ServiceConfiguration {
  const production = withoutIndent(request.production);
  const spare = withoutIndent(request.spare);
  const { newline } = production;
  const left = new Map(entriesOf(spare).flatMap((entry) => (kept.has(nameOf(entry)) ? [[nameOf(entry), entry]] : [])));
  const parts = production.parts.flatMap((part): ServiceConfiguration['parts'] => {
    if (part.kind !== 'entry' || !kept.has(nameOf(part))) return [part];
    const own = left.get(nameOf(part));
    left.delete(nameOf(part));
    return own === undefined ? [] : [own];
  });
  for (const entry of left.values()) {
    const last = parts.findLastIndex((part) => part.kind !== 'text' && part.section === entry.section);
    const header = spare.parts.find((part) => part.kind === 'section' && part.section === entry.section);
    if (last >= 0) parts.splice(last + 1, 0, entry);
    else parts.push(...(header === undefined ? [] : [header]), entry);
  }
  // The last line of either file may lack its end.
  const ended = parts.map((part) => (/[\r\n]$/.test(part.text) ? part : { ...part, text: part.text + newline }));
  return { parts: ended, newline };
}

function operatorOptions(
  { profile, credentials }: MergeRequest,
  productions: ReadonlyMap<string, string>,
  spares: ReadonlyMap<string, string>,
): readonly (OperatorOption & { readonly name: string })[] {
  if (profile !== 'charmed') return [];
  const table = credentials === 'production' ? [...charmOptions, ...charmCredentials] : charmOptions;
  return table.flatMap(({ name: first, also = [], option, secret }) => {
    const name = [first, ...also].find((each) => (effectiveValue(productions, each) ?? '') !== '');
    const value = name === undefined ? undefined : effectiveValue(productions, name);
    if (name === undefined || value === undefined || value === effectiveValue(spares, name)) return [];
    return [{ name, option, value, secret }];
  });
}
