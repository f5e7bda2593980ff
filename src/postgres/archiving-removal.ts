import { isOurCommand, type ArchivingFacts } from '../core/archiving-decision.ts';
import type { LineChange } from '../core/configuration-line.ts';
import { isFailure } from '../core/failure.ts';
import { foundArchivingSchema, type FoundArchiving } from '../core/found-archiving.ts';
import { readJson, readText, removeFile } from '../system/files.ts';
import type { UnitFolder } from '../system/home.ts';
import { readArchivingFacts, readServer, type FileSetting } from './archiving-facts.ts';
import { archivingFile, removeArchivingFile, writeArchivingFile } from './archiving-file.ts';
import { alterSystem, autoConfigurationFile, editAutoConfiguration, readAutoValue } from './auto-configuration.ts';
import type { Cluster } from './cluster.ts';
import { withConnection, type Connection } from './query.ts';
import { reload } from './reload.ts';

/**
 * Takes every archiving setting of ours off the cluster and puts back what was found, whether the server runs or not.
 *
 * Returns a sentence when something still needs a person: `archive_mode` can only go off with a restart, and a server that
 * archives without a command keeps every segment, so until then one line of ours lets them go.
 */
export async function removeOurSettings(cluster: Cluster, unit: UnitFolder): Promise<string | undefined> {
  const found = await readJson(unit.found, foundArchivingSchema);
  const changes = await changesFor(cluster, found);
  const note = cluster.running ? await removeWhileRunning(cluster, changes) : await removeFromFiles(cluster, changes);
  // Last: whoever was interrupted before here still knows what was found.
  await removeFile(unit.found);
  return note;
}

/** Tells whether a line of ours had to stay until the next restart. */
export async function waitsForRestart(cluster: Cluster): Promise<boolean> {
  return (await readText(archivingFile(cluster))) !== undefined;
}

/** What stands in `postgresql.auto.conf` and is ours: what we recorded, and a command of ours that came with a restore. */
async function changesFor(
  cluster: Cluster,
  found: FoundArchiving | undefined,
): Promise<Readonly<Record<string, LineChange>>> {
  const changes: Record<string, LineChange> = { ...found?.altered };
  const command = await readAutoValue(cluster, 'archive_command');
  if (command !== undefined && isOurCommand(command)) {
    const known = changes['archive_command'];
    changes['archive_command'] = { before: known?.before ?? null, ours: [...(known?.ours ?? []), command] };
  }
  return changes;
}

async function removeFromFiles(cluster: Cluster, changes: Readonly<Record<string, LineChange>>): Promise<undefined> {
  await removeArchivingFile(cluster);
  await editAutoConfiguration(cluster, changes);
}

async function removeWhileRunning(
  cluster: Cluster,
  changes: Readonly<Record<string, LineChange>>,
): Promise<string | undefined> {
  try {
    return await withConnection(cluster, async (connection) => await removeOver(connection, cluster, changes));
  } catch (error) {
    if (!isFailure(error, 'postgres')) throw error;
    // It listens to nobody at the moment: the files are what it reads next.
    await removeFromFiles(cluster, changes);
    return `the server of ${cluster.label} could not be asked (${error.message}): it goes on with the old settings until it reloads`;
  }
}

async function removeOver(
  connection: Connection,
  cluster: Cluster,
  changes: Readonly<Record<string, LineChange>>,
): Promise<string | undefined> {
  const facts = await readArchivingFacts(connection, isTakenOff(cluster, changes));
  const mustLetGo = keepsEverything(facts, changes);
  if (mustLetGo) await writeArchivingFile(cluster, { archive_command: '/bin/true' }, stopgapComment);
  else await removeArchivingFile(cluster);
  await restoreAuto(connection, cluster, changes);
  const effective = serverKnows(cluster, facts, changes, mustLetGo) ? facts.effective : await reload(connection);
  if (!mustLetGo) return undefined;
  const lets = effective.get('archive_command')?.value === '/bin/true';
  return lets
    ? `archive_mode of ${cluster.label} goes off with its next restart; until then ${archivingFile(cluster)} throws WAL away, so that the disk does not fill. After the restart delete that file, or: landscape-backup leave`
    : `archive_mode of ${cluster.label} goes off with its next restart; until then WAL is kept in pg_wal and fills the disk: restart it soon`;
}

/** A reload is a line in the server's log: a call that finds nothing to do leaves none. */
function serverKnows(
  cluster: Cluster,
  { effective }: ArchivingFacts,
  changes: Readonly<Record<string, LineChange>>,
  letsGo: boolean,
): boolean {
  if (Object.keys(changes).length > 0) return false;
  const ours = [...effective.values()].filter(
    ({ sourceFile, value }) => sourceFile === archivingFile(cluster) || isOurCommand(value),
  );
  return ours.every(({ value }) => letsGo && value === '/bin/true');
}

const stopgapComment =
  'Left by landscape-backup until the next restart, which puts archive_mode off: without a command WAL would pile up.';

async function restoreAuto(
  connection: Connection,
  cluster: Cluster,
  changes: Readonly<Record<string, LineChange>>,
): Promise<void> {
  const { allowsAlterSystem } = await readServer(connection);
  if (!allowsAlterSystem) {
    await editAutoConfiguration(cluster, changes);
    return;
  }
  for (const [name, { before, ours }] of Object.entries(changes)) {
    const current = await readAutoValue(cluster, name);
    // What somebody set since is theirs.
    if (current !== undefined && ours.includes(current)) await alterSystem(connection, name, before);
  }
}

function isTakenOff(cluster: Cluster, changes: Readonly<Record<string, LineChange>>): (line: FileSetting) => boolean {
  const [ours, auto] = [archivingFile(cluster), autoConfigurationFile(cluster)];
  return ({ name, value, file }) => file === ours || (file === auto && changes[name]?.ours.includes(value) === true);
}

/** The running server archives, will not after a restart, and in between nobody takes its segments. */
function keepsEverything(facts: ArchivingFacts, changes: Readonly<Record<string, LineChange>>): boolean {
  const after = (name: string) => changes[name]?.before ?? facts.configured.get(name);
  const runs = facts.effective.get('archive_mode')?.value !== 'off';
  const library = facts.effective.get('archive_library')?.value ?? '';
  return (
    runs && library === '' && (after('archive_mode') ?? 'off') === 'off' && (after('archive_command') ?? '') === ''
  );
}
