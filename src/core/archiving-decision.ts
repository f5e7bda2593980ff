import type { Standing } from './incarnation.ts';

/** A setting as the running server has it. */
export interface EffectiveSetting {
  readonly name: string;
  readonly value: string;
  /** As `pg_settings` words it: `configuration file`, `command line`, `default`. */
  readonly source: string;
  readonly sourceFile: string | null;
  readonly sourceLine: number | null;
  readonly pendingRestart: boolean;
}

/** What the decision rests on. */
export interface ArchivingFacts {
  readonly versionNumber: number;
  /** The running server's values, by name. */
  readonly effective: ReadonlyMap<string, EffectiveSetting>;
  /** What the configuration files say without the lines that are ours, by name; a name that no file sets is absent. */
  readonly configured: ReadonlyMap<string, string>;
}

/** What the settings file and the repository want of this cluster. */
export interface ArchivingWish {
  readonly walArchiving: boolean;
  readonly walMethod: 'archive' | 'stream';
  readonly standing: Standing['is'];
  readonly command: string;
  readonly timeoutSeconds: number;
}

/** What is to be done about the cluster's archiving settings. */
export type ArchivingDecision =
  | { readonly do: 'refuse'; readonly why: string }
  | { readonly do: 'take-off'; readonly why: string }
  /** WAL comes by a stream, and who else archives is left alone. */
  | { readonly do: 'leave-alone' }
  | {
      readonly do: 'apply';
      /** The lines of our file, by name. */
      readonly settings: Readonly<Record<string, string>>;
      /** WAL went nowhere up to now: what is stored before can't be joined to what comes. */
      readonly lostBefore: string | undefined;
    };

/** Every setting that we may set, and no other. */
export const archivingNames = ['wal_level', 'archive_mode', 'archive_command', 'archive_timeout'] as const;

// Single-quoted words of the shell, in which a quote is written '\''.
const word = String.raw`'(?:[^']|'\\'')*'`;
const oursPattern = new RegExp(String.raw`^'(?:[^']|'\\'')*/bin/archive-wal' ${word} '%p' '%f'$`);

/** Tells whether an `archive_command` is one that this product set, on this machine or on the one it was restored from. */
export function isOurCommand(command: string): boolean {
  return oursPattern.test(command);
}

/** What a command does with WAL: nothing (`empty`), throw it away, hand it to us or to somebody else. */
export function classifyCommand(command: string): 'empty' | 'discards' | 'ours' | 'foreign' {
  const text = command.trim();
  if (text === '' || text === '(disabled)') return 'empty';
  if (text === 'true' || text === '/bin/true') return 'discards';
  return isOurCommand(text) ? 'ours' : 'foreign';
}

/** Quotes the command by which PostgreSQL calls our front: each word for the shell, `%` for PostgreSQL. */
export function archiveCommand(runtime: string, unitFolder: string): string {
  const quoted = (text: string) => `'${text.replaceAll("'", String.raw`'\''`).replaceAll('%', '%%')}'`;
  return `${quoted(`${runtime}/bin/archive-wal`)} ${quoted(unitFolder)} '%p' '%f'`;
}

/**
 * Decides what happens to the archiving settings of a cluster. Somebody else's archiving is never touched, and a copy is
 * never archived, whatever the options say.
 */
export function decideArchiving(facts: ArchivingFacts, wish: ArchivingWish): ArchivingDecision {
  if (wish.standing === 'copy') return { do: 'take-off', why: 'the cluster is a restored copy' };
  if (wish.standing === 'none') return { do: 'take-off', why: 'the repository does not know the cluster' };
  if (!wish.walArchiving) return { do: 'take-off', why: 'the option wal-archiving is false' };
  // Where it is on, it stays on: each segment then comes twice and is stored once, and a lost slot makes no hole.
  if (wish.walMethod === 'stream' && !isOursInForce(facts)) return { do: 'leave-alone' };
  const foreign = findForeign(facts);
  if (foreign !== undefined) return { do: 'refuse', why: foreign };
  return { do: 'apply', settings: wantedSettings(facts, wish), lostBefore: lostBefore(facts) };
}

function isOursInForce(facts: ArchivingFacts): boolean {
  const isOn = valueOf(facts, 'archive_mode') !== 'off' && valueOf(facts, 'archive_library') === '';
  return isOn && isOurCommand(valueOf(facts, 'archive_command'));
}

function valueOf(facts: ArchivingFacts, name: string): string {
  return facts.effective.get(name)?.value ?? '';
}

function configuredOr(facts: ArchivingFacts, name: string, fallback: string): string {
  return facts.configured.get(name) ?? fallback;
}

/** Says who else archives, or will after the next restart. */
function findForeign(facts: ArchivingFacts): string | undefined {
  const library = valueOf(facts, 'archive_library');
  if (library !== '') return `archive_library is "${library}"${where(facts, 'archive_library')}`;
  const command = valueOf(facts, 'archive_command');
  if (classifyCommand(command) === 'foreign')
    return `archive_command is "${command}"${where(facts, 'archive_command')}`;
  // With archive_mode off PostgreSQL shows "(disabled)" whatever the files say; a restart would make theirs effective.
  const later = configuredOr(facts, 'archive_command', '');
  const mode = configuredOr(facts, 'archive_mode', 'off');
  if (command === '(disabled)' && mode !== 'off' && classifyCommand(later) === 'foreign') {
    return `archive_command becomes "${later}" with the next restart`;
  }
  return undefined;
}

function where(facts: ArchivingFacts, name: string): string {
  const setting = facts.effective.get(name);
  if (setting === undefined || setting.sourceFile === null) return '';
  return ` (${setting.sourceFile} line ${setting.sourceLine ?? '?'})`;
}

function wantedSettings(facts: ArchivingFacts, wish: ArchivingWish): Readonly<Record<string, string>> {
  const isOld = facts.versionNumber < 90_600;
  const level = configuredOr(facts, 'wal_level', facts.versionNumber < 100_000 ? 'minimal' : 'replica');
  const mode = configuredOr(facts, 'archive_mode', 'off');
  return {
    // A level that is high enough stays whose it is: lowering "logical" would break somebody's replication.
    ...(level === 'minimal' ? { wal_level: isOld ? 'hot_standby' : 'replica' } : {}),
    ...(mode === 'always' ? {} : { archive_mode: 'on' }),
    archive_command: wish.command,
    archive_timeout: String(wish.timeoutSeconds),
  };
}

/** Empty with archiving on only makes WAL wait; everything else before us let it go. */
function lostBefore(facts: ArchivingFacts): string | undefined {
  const command = valueOf(facts, 'archive_command');
  if (valueOf(facts, 'archive_mode') === 'off') return 'archiving was off';
  return classifyCommand(command) === 'discards'
    ? `archive_command was "${command}", which throws WAL away`
    : undefined;
}

/** The names whose value is another one than wanted: something stands behind our file and overrides it. */
export function overriddenNames(
  settings: Readonly<Record<string, string>>,
  winning: ReadonlyMap<string, string>,
): readonly string[] {
  return Object.keys(settings).filter((name) => winning.get(name) !== settings[name]);
}

/** The names that wait for a restart of the cluster: the server still runs with another value. */
export function waitingForRestart(
  settings: Readonly<Record<string, string>>,
  effective: ReadonlyMap<string, EffectiveSetting>,
): readonly string[] {
  return ['wal_level', 'archive_mode'].filter(
    (name) => settings[name] !== undefined && effective.get(name)?.value !== settings[name],
  );
}
