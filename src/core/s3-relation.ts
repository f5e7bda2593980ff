import { readDestination, type Destination } from './destination.ts';
import {
  unusable,
  type CharmConfig,
  type SecretAnswers,
  type SecretReader,
  type Unusable,
  type Usable,
} from './juju-secrets.ts';
import { Secret } from './secret.ts';
import { isSecretOption, options } from './settings.ts';

/** The endpoint by which a charm such as s3-integrator says where an S3 store is and how to get in. */
export const s3Endpoint = 's3-parameters';

/** What the other side of that relation says, by the names of the interface `s3`. */
export interface S3Offer {
  /** Who says it. */
  readonly application: string;
  /** The number of the relation. */
  readonly id: string;
  readonly said: Readonly<Record<string, string>>;
}

/** Which option each name of the interface stands for; bucket and path together are the option `destination`. */
const optionOf = {
  endpoint: 's3-endpoint',
  region: 's3-region',
  's3-uri-style': 's3-uri-style',
  'tls-ca-chain': 's3-ca',
  'access-key': 's3-access-key',
  'secret-key': 's3-secret-key',
} as const;

type Field = keyof typeof optionOf;

const isField = (name: string): name is Field => Object.hasOwn(optionOf, name);
const fields = Object.keys(optionOf).filter(isField);

/** A bucket that nobody chose: what a requirer of the first form asks for, said back, be it another's. */
const echo = /^relation-\d+$/;

/** The secrets for which Juju is to be asked: in the second form of the interface the keys are in one. */
export function offeredSecrets(offer: S3Offer | undefined): readonly string[] {
  const uri = offer?.said['secret-extra'] ?? '';
  return uri === '' ? [] : [uri];
}

/**
 * What the leader says to the other side. A bucket that the option names is asked for; otherwise the first form wants any
 * name before it answers, and gets one that it may not take for a choice. The second answers without, and would make it.
 */
export function s3Request(
  destination: unknown,
  { id, said }: S3Offer,
  isAnswerDue: boolean,
): Readonly<Record<string, string>> {
  const place = typeof destination === 'string' ? readDestination(destination) : '';
  const isNamed = typeof place !== 'string' && place.kind === 's3';
  const any = isAnswerDue && said['lib-version'] === undefined ? `relation-${id}` : '';
  return {
    bucket: isNamed ? place.bucket : any,
    path: isNamed ? place.prefix.replace(/\/$/, '') : '',
    'lib-version': '1.0',
    'requested-secrets': JSON.stringify(['access-key', 'secret-key']),
  };
}

/**
 * Puts what the relation says beside the options: what only one of them says counts, what both say has to be the same.
 * Neither ever takes the other's place silently, so no repository is left for another unasked.
 */
export function withOffer(
  config: CharmConfig,
  offer: S3Offer | undefined,
  answers: SecretAnswers,
  { application }: SecretReader,
): Usable | Unusable {
  if (offer === undefined) return { ok: true, config };
  const place = placeOf(config, offer, application);
  if (!place.ok) return place;
  const said = withKeys(offer, answers);
  if (!said.ok) return said;
  const merged: Record<string, string | number | boolean> = { ...config, destination: place.text };
  for (const field of fields) {
    const text = (said.texts[field] ?? '').trim();
    if (text === '') continue;
    const value = field === 'tls-ca-chain' ? pemOf(text) : text;
    const wrong = faultOf(field, value, { config, offer, application });
    if (wrong !== undefined) return wrong;
    merged[optionOf[field]] = String(config[optionOf[field]] ?? '') || value;
  }
  const lacks = (['access-key', 'secret-key'] as const).filter((field) => (merged[optionOf[field]] ?? '') === '');
  if (lacks.length > 0) return silent(offer, `does not say ${lacks.join(' and ')} yet`);
  return place.text === '' ? withoutBucket(offer, application) : { ok: true, config: merged };
}

/** Where the repository lies by option and relation; an option that breaks its own rule is left to who tells of it. */
function placeOf(
  config: CharmConfig,
  offer: S3Offer,
  application: string,
): { readonly ok: true; readonly text: string } | Unusable {
  const option = String(config['destination'] ?? '');
  const bucket = echo.test(offer.said['bucket'] ?? '') ? '' : (offer.said['bucket'] ?? '');
  const path = (offer.said['path'] ?? '').replaceAll(/^\/+|\/+$/g, '');
  const url = `s3://${bucket}${path === '' ? '' : `/${path}`}`;
  const place = bucket === '' ? undefined : readDestination(url);
  if (typeof place === 'string') {
    return unusable(
      `the relation ${s3Endpoint} names ${url}, which is no destination: ${place}`,
      `juju config ${offer.application} bucket=<bucket> path=<folder>`,
    );
  }
  const wanted = option === '' ? undefined : readDestination(option);
  if (wanted === undefined) return { ok: true, text: place?.url ?? '' };
  if (typeof wanted === 'string' || isWithin(wanted, place, path)) return { ok: true, text: option };
  return disagreement(`option destination is ${wanted.url}`, `names ${place?.url ?? 'an S3 store'}`, {
    option: 'destination',
    offer,
    application,
  });
}

/** Tells whether an option names the place that the relation names, or a folder where that names a bucket only. */
function isWithin(option: Destination, offered: Destination | undefined, path: string): boolean {
  if (option.kind !== 's3') return false;
  if (offered === undefined) return true;
  return path === '' ? offered.kind === 's3' && offered.bucket === option.bucket : offered.url === option.url;
}

type Said = { readonly ok: true; readonly texts: Readonly<Partial<Record<string, string>>> };

/** All that is said, with the keys in clear. */
function withKeys({ said, application }: S3Offer, answers: SecretAnswers): Said | Unusable {
  if (Object.keys(said).length === 0) return silent({ application }, 'says nothing yet');
  const uri = said['secret-extra'] ?? '';
  if (uri === '') return { ok: true, texts: said };
  const answer = answers.get(uri) ?? { is: 'unreadable', why: 'Juju was not asked' };
  switch (answer.is) {
    case 'content': {
      const { 'access-key': access, 'secret-key': secret } = answer.content;
      return { ok: true, texts: { ...said, 'access-key': access, 'secret-key': secret } };
    }
    case 'not-granted':
      return silent({ application }, `names ${uri}, a secret that is not granted yet`);
    case 'missing':
      return silent({ application }, `names ${uri}, a secret that is not there`);
    case 'unreadable':
      return silent({ application }, `names ${uri}, and Juju could not be asked for it: ${answer.why}`);
  }
}

interface Beside {
  readonly config: CharmConfig;
  readonly offer: S3Offer;
  readonly application: string;
}

/** What is wrong with one thing that the relation says: by itself, or beside an option that says something else. */
function faultOf(field: Field, text: string, { config, offer, application }: Beside): Unusable | undefined {
  const name = optionOf[field];
  const { schema, rule } = options[name];
  const show = (value: string) => (isSecretOption(name) ? '(secret)' : JSON.stringify(value.slice(0, 200)));
  const offered = schema.safeParse(text);
  if (!offered.success) {
    const detail = offered.error.issues[0]?.message ?? 'not understood';
    return unusable(
      `the relation ${s3Endpoint} says ${field} ${show(text)}, it must be ${rule} (${detail})`,
      isSecretOption(name) ? `give ${offer.application} the right one` : `juju config ${offer.application} ${field}=…`,
    );
  }
  const option = String(config[name] ?? '');
  const own = option.trim() === '' ? undefined : schema.safeParse(option);
  if (own?.success !== true || comparable(own.data) === comparable(offered.data)) return undefined;
  const other = isSecretOption(name) ? 'another' : show(text);
  return disagreement(`option ${name} is ${show(option)}`, `says ${field} ${other}`, {
    option: name,
    offer,
    application,
  });
}

function comparable(value: unknown): string {
  return value instanceof Secret ? value.reveal() : String(value).replaceAll(/\s/g, '');
}

/** Certificates as PEM, of a list in JSON or a text; each as PEM, or that in base64, or its bytes in base64. */
function pemOf(text: string): string {
  return listOf(text)
    .map((item) => {
      if (item.includes('-----BEGIN')) return item.trim();
      if (/^MI[A-Za-z0-9+/=\s]+$/.test(item)) {
        const lines = item.replaceAll(/\s/g, '').match(/.{1,64}/g) ?? [];
        return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----'].join('\n');
      }
      return (decode(item) ?? item).trim();
    })
    .join('\n');
}

function listOf(text: string): readonly string[] {
  try {
    const read: unknown = JSON.parse(text);
    return Array.isArray(read) ? read.map(String) : [text];
  } catch {
    return [text];
  }
}

function decode(text: string): string | undefined {
  try {
    return atob(text);
  } catch {
    return undefined;
  }
}

/** The other side has more to say, which is not ours to do. */
function silent({ application }: Pick<S3Offer, 'application'>, what: string): Unusable {
  return {
    ...unusable(`the relation ${s3Endpoint} ${what}`, `juju status ${application} tells what it lacks`),
    status: 'waiting',
  };
}

function withoutBucket(offer: S3Offer, application: string): Unusable {
  return unusable(
    `the relation ${s3Endpoint} names no bucket`,
    `juju config ${offer.application} bucket=<bucket>, or juju config ${application} destination=s3://<bucket>/<folder>`,
  );
}

function disagreement(
  ours: string,
  theirs: string,
  { option, offer, application }: { readonly option: string; readonly offer: S3Offer; readonly application: string },
): Unusable {
  return unusable(
    `${ours}, and the relation ${s3Endpoint} ${theirs}: they must be the same`,
    `juju config ${application} --reset ${option}, or juju remove-relation ${application}:${s3Endpoint} ${offer.application}`,
  );
}
