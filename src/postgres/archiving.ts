import {
  archivingNames,
  decideArchiving,
  isOurCommand,
  overriddenNames,
  waitingForRestart,
  type ArchivingWish,
  type EffectiveSetting,
} from '../core/archiving-decision.ts';
import { Failure } from '../core/failure.ts';
import { foundArchivingSchema, type FoundArchiving } from '../core/found-archiving.ts';
import type { Lsn } from '../core/lsn.ts';
import { readJson, writeJson } from '../system/files.ts';
import type { UnitFolder } from '../system/home.ts';
import {
  readArchivingFacts,
  readEffective,
  readFileSettings,
  readServer,
  type FileSetting,
} from './archiving-facts.ts';
import { archivingFile, writeArchivingFile } from './archiving-file.ts';
import { removeOurSettings } from './archiving-removal.ts';
import { alterSystem, autoConfigurationFile, readAutoValue } from './auto-configuration.ts';
import type { Cluster } from './cluster.ts';
import { withConnection, type Connection } from './query.ts';
import { currentLsn, reload } from './reload.ts';

/** What came of bringing a cluster's archiving settings in line with what is wanted. */
export interface ArchivingOutcome {
  /** `on`: WAL comes to us. `restart-needed`: it will, after a restart. `off`: ours are not set. */
  readonly is: 'on' | 'restart-needed' | 'off';
  /** The names that wait for the restart. */
  readonly waiting: readonly string[];
  /** Why WAL from before is missing here: a new base backup is wanted from this LSN on. */
  readonly lostBefore: { readonly why: string; readonly at: Lsn } | undefined;
  /** Why it is off, or what else a person should know. */
  readonly note: string | undefined;
}

const comment = 'Written by landscape-backup; "landscape-backup leave" takes it away. Changes here are overwritten.';

/**
 * Makes archiving what the settings and the repository say, on a running cluster, and reads back that it is so.
 *
 * Somebody else's archiving is `refused` with nothing changed. A restart is never done here: its need is the result.
 */
export async function applyArchiving(
  cluster: Cluster,
  unit: UnitFolder,
  wish: ArchivingWish,
  now: Date,
): Promise<ArchivingOutcome> {
  const { found, facts, decision } = await look(cluster, unit, wish);
  if (decision.do === 'take-off') {
    const note = await removeOurSettings(cluster, unit);
    return { is: 'off', waiting: [], lostBefore: undefined, note: note ?? decision.why };
  }
  if (decision.do === 'leave-alone') return { is: 'off', waiting: [], lostBefore: undefined, note: undefined };
  if (decision.do === 'refuse') {
    if (found !== undefined && found.lost === null)
      await writeJson(unit.found, foundArchivingSchema, { ...found, lost: decision.why });
    throw foreignArchiver(cluster, decision.why);
  }
  const kept = found ?? foundNow(facts.effective, now, decision.lostBefore);
  if (found === undefined) await writeJson(unit.found, foundArchivingSchema, kept);
  return await withConnection(cluster, async (connection) => {
    const forced = await putInForce(connection, { cluster, unit, settings: decision.settings, found: kept });
    const effective = await reloadIfNeeded(connection, decision.settings);
    const waiting = waitingForRestart(decision.settings, effective);
    if (waiting.length === 0) confirmEffective(cluster, decision.settings, effective);
    const why = kept.lost ?? decision.lostBefore;
    const at = why === undefined || waiting.length > 0 ? undefined : await currentLsn(connection);
    // The note about what is missing stays until the caller has made the need durable: see `forgetLost`.
    return {
      is: waiting.length === 0 ? 'on' : 'restart-needed',
      waiting,
      lostBefore: why === undefined || at === undefined ? undefined : { why, at },
      note:
        forced.length === 0
          ? undefined
          : `${forced.join(', ')} had to be set with ALTER SYSTEM: another file overrides ${archivingFile(cluster)}`,
    };
  });
}

async function look(cluster: Cluster, unit: UnitFolder, wish: ArchivingWish) {
  const found = await readJson(unit.found, foundArchivingSchema);
  return await withConnection(cluster, async (connection) => {
    const facts = await readArchivingFacts(connection, isOurLine(cluster, found));
    return { found, facts, decision: decideArchiving(facts, wish) };
  });
}

/** Says what `applyArchiving` would wait for with this wish, changing nothing; somebody else's archiving is `refused`. */
export async function foreseeRestart(
  cluster: Cluster,
  unit: UnitFolder,
  wish: ArchivingWish,
): Promise<readonly string[]> {
  const { facts, decision } = await look(cluster, unit, wish);
  if (decision.do === 'refuse') throw foreignArchiver(cluster, decision.why);
  return decision.do === 'apply' ? waitingForRestart(decision.settings, facts.effective) : [];
}

/** A reload is a line in the server's log: it is done only where the server does not know yet what the files say. */
async function reloadIfNeeded(connection: Connection, settings: Readonly<Record<string, string>>) {
  const effective = await readEffective(connection);
  const isKnown = Object.keys(settings).every((name) => {
    const now = effective.get(name);
    return now?.value === settings[name] || now?.pendingRestart === true;
  });
  return isKnown ? effective : await reload(connection);
}

/** Drops the note that WAL from before is missing, once the need for a new base backup has been recorded. */
export async function forgetLost(unit: UnitFolder): Promise<void> {
  const found = await readJson(unit.found, foundArchivingSchema);
  if (found !== undefined && found.lost !== null)
    await writeJson(unit.found, foundArchivingSchema, { ...found, lost: null });
}

function foreignArchiver(cluster: Cluster, why: string): Failure {
  return new Failure(
    'refused',
    `the cluster ${cluster.label} is archived by somebody else: ${why}; nothing was changed`,
    {
      hint: 'Two archivers would each have half of the WAL. Take that one out of service and remove its setting, or set wal-archiving to false here.',
    },
  );
}

function isOurLine(cluster: Cluster, found: FoundArchiving | undefined): (line: FileSetting) => boolean {
  const [ours, auto] = [archivingFile(cluster), autoConfigurationFile(cluster)];
  return ({ name, value, file }) => {
    if (file === ours || isOurCommand(value)) return true;
    return file === auto && found?.altered[name]?.ours.includes(value) === true;
  };
}

function foundNow(
  effective: ReadonlyMap<string, EffectiveSetting>,
  at: Date,
  lost: string | undefined,
): FoundArchiving {
  const values = [...effective.values()].map(
    ({ name, value, source, sourceFile }) => [name, { value, source, file: sourceFile }] as const,
  );
  return { format: 1, at, values: Object.fromEntries(values), altered: {}, lost: lost ?? null };
}

interface Forcing {
  readonly cluster: Cluster;
  readonly unit: UnitFolder;
  readonly settings: Readonly<Record<string, string>>;
  readonly found: FoundArchiving;
}

/** Writes our file, and `ALTER SYSTEM` for exactly the names that it does not win; says which. */
async function putInForce(connection: Connection, forcing: Forcing): Promise<readonly string[]> {
  const { cluster, settings } = forcing;
  refuseCommandLine(cluster, settings, await readEffective(connection));
  await writeArchivingFile(cluster, settings, comment);
  const overridden = overriddenNames(settings, await winningValues(connection));
  if (overridden.length === 0) return [];
  const { allowsAlterSystem } = await readServer(connection);
  if (!allowsAlterSystem) {
    throw new Failure(
      'refused',
      `${overridden.join(', ')} of the cluster ${cluster.label} is overridden behind ${archivingFile(cluster)}, and allow_alter_system is off`,
      {
        hint: `Remove the line that overrides it (${await overridingLine(connection, overridden)}), or set allow_alter_system to on.`,
      },
    );
  }
  await recordAltered(forcing, overridden);
  for (const name of overridden) await alterSystem(connection, name, settings[name] ?? null);
  return overridden;
}

/** What was forced is durable before it is done: whoever takes it off again, whenever we die, knows what to put back. */
async function recordAltered({ cluster, unit, settings, found }: Forcing, names: readonly string[]): Promise<void> {
  const altered = { ...found.altered };
  for (const name of names) {
    const known = altered[name];
    const current = (await readAutoValue(cluster, name)) ?? null;
    const value = settings[name] ?? '';
    const isOurs = current !== null && (isOurCommand(current) || known?.ours.includes(current) === true);
    altered[name] = {
      before: isOurs ? (known?.before ?? null) : current,
      ours: [...new Set([...(known?.ours ?? []), value])],
    };
  }
  await writeJson(unit.found, foundArchivingSchema, { ...found, altered });
}

async function winningValues(connection: Connection): Promise<ReadonlyMap<string, string>> {
  return new Map((await readFileSettings(connection)).map(({ name, value }) => [name, value]));
}

async function overridingLine(connection: Connection, names: readonly string[]): Promise<string> {
  const line = (await readFileSettings(connection)).findLast(({ name }) => names.includes(name));
  return line === undefined ? 'postgresql.conf does not include conf.d' : `${line.file} line ${line.line}`;
}

function refuseCommandLine(
  cluster: Cluster,
  settings: Readonly<Record<string, string>>,
  effective: ReadonlyMap<string, EffectiveSetting>,
): void {
  for (const name of archivingNames) {
    const now = effective.get(name);
    if (now?.source !== 'command line' || settings[name] === undefined || now.value === settings[name]) continue;
    throw new Failure(
      'refused',
      `${name} of the cluster ${cluster.label} is set to "${now.value}" on the server's command line, which no file can override`,
      {
        hint: 'Take it out of pg_ctl.conf or of the unit that starts the server.',
      },
    );
  }
}

function confirmEffective(
  cluster: Cluster,
  settings: Readonly<Record<string, string>>,
  effective: ReadonlyMap<string, EffectiveSetting>,
): void {
  const wrong = Object.keys(settings).find((name) => effective.get(name)?.value !== settings[name]);
  if (wrong === undefined) return;
  const now = effective.get(wrong);
  throw new Failure(
    'postgres',
    `${wrong} of the cluster ${cluster.label} is "${now?.value ?? ''}" (${now?.source ?? 'unknown'}), not "${settings[wrong] ?? ''}" as written`,
    {
      hint: 'Look for errors about the configuration in the log of the server.',
    },
  );
}
