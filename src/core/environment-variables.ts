import { keyName, sectionName } from './service-configuration.ts';
import { spareKeeps, type MergeDecision, type MergeRequest } from './service-merge.ts';

/** Lines of `NAME=value`, as in `/etc/environment` and `/etc/default/landscape-server`. */
const assignment = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*?)\s*$/;

/** The variables of a file of `NAME=value` lines, as they are written; the last line of a name counts. */
export function readVariables(text: string): ReadonlyMap<string, string> {
  const lines = text.split(/\r?\n/).map((line) => assignment.exec(line));
  return new Map(lines.flatMap((match) => (match === null ? [] : [[match[1] ?? '', match[2] ?? '']])));
}

/** A value without the quotes around it. */
export function unquoted(value: string | undefined): string | undefined {
  return value?.replace(/^(["'])(.*)\1$/, '$2');
}

/**
 * Puts production's variables into a spare's file: each that `isProductions` has production's value, or goes where production
 * lacks it. All other lines stay as the spare has them.
 */
export function mergeVariables(
  production: string,
  spare: string,
  isProductions: (name: string) => boolean,
): { readonly text: string; readonly changed: readonly string[] } {
  const wanted = new Map([...readVariables(production)].filter(([name]) => isProductions(name)));
  const before = readVariables(spare);
  const changed = [...new Set([...wanted.keys(), ...before.keys()])].filter(
    (name) => isProductions(name) && wanted.get(name) !== before.get(name),
  );
  const placed = new Set<string>();
  const lines = spare.split('\n').flatMap((line) => {
    const name = assignment.exec(line)?.[1];
    if (name === undefined || !isProductions(name)) return [line];
    const value = wanted.get(name);
    if (value === undefined || placed.has(name)) return [];
    placed.add(name);
    return [before.get(name) === value ? line : `${name}=${value}`];
  });
  const rest = [...wanted].flatMap(([name, value]) => (placed.has(name) ? [] : [`${name}=${value}\n`]));
  const text = lines.join('\n');
  return {
    text: text + (text === '' || text.endsWith('\n') || rest.length === 0 ? '' : '\n') + rest.join(''),
    changed,
  };
}

/** Whose decision a variable is: the key of service.conf that it overrides, or the place of that file itself. */
type Override = { readonly name: string } | 'file' | undefined;

/** What a variable overrides, as Landscape reads it from 25.10 on: `LANDSCAPE_<SECTION>__<KEY>`. */
function overrideOf(variable: string): Override {
  if (/^LANDSCAPE_(CONFIG_FILE|SERVICE_CONF)$/.test(variable)) return 'file';
  const match = /^LANDSCAPE_(.+?)__(.+)$/.exec(variable);
  if (match === null) return undefined;
  const section = match[1] === 'DEFAULT' ? 'DEFAULT' : sectionName((match[1] ?? '').toLowerCase());
  return { name: `${section}.${keyName(match[2] ?? '')}` };
}

type Terms = Pick<MergeRequest, 'credentials' | 'profile'>;

/** Tells whether production's value of a variable comes to the spare: one of Landscape's, and none that points to production. */
export function isProductionsVariable(variable: string, terms: Terms): boolean {
  const override = overrideOf(variable);
  if (override === 'file') return false;
  if (override === undefined) return variable.startsWith('LANDSCAPE_');
  return spareKeeps(override.name, terms) === undefined;
}

/** What the landscape-server charm writes into `/etc/default/landscape-server` at every start of the services. */
const charmVariable = /^RUN_/;

/** The same for `/etc/default/landscape-server`, which is about this machine's services. */
export function isProductionsDefault(variable: string, terms: Terms): boolean {
  if (variable === 'DEPLOYED_FROM') return false;
  if (variable.startsWith('LANDSCAPE_')) return isProductionsVariable(variable, terms);
  return !(terms.profile === 'charmed' && charmVariable.test(variable));
}

/** The variables in any text (a systemd drop-in, a cron file) that would point the spare to production. */
export function strangeVariables(text: string, terms: Terms): readonly string[] {
  const names = [...text.matchAll(/\bLANDSCAPE_[A-Z0-9_]+/gi)].map(([name]) => name.toUpperCase());
  return [...new Set(names)].filter((name) => overrideOf(name) !== undefined && !isProductionsVariable(name, terms));
}

/** Decisions about variables, in the words of the plan. */
export function variableDecisions(path: string, changed: readonly string[]): readonly MergeDecision[] {
  return changed.map((name) => ({ name: `${path} ${name}`, from: 'production', why: 'restored' }));
}
