import type { Backup } from './backup.ts';
import type { ClusterCatalogue, IncarnationCatalogue } from './catalogue.ts';
import { Failure } from './failure.ts';
import { backupFault } from './backup-fault.ts';
import { timelinesOf } from './timelines-of.ts';
import { backupsOn, defaultTimeline, wayTo, windowsOn, type Way, type Window } from './restorable.ts';
import type { RestoreTarget } from './restore-plan.ts';

/** What an operator may have said about what is restored; all of it may be left open. */
export interface RestoreWishes {
  readonly target: RestoreTarget;
  readonly backup?: string | undefined;
  readonly timeline?: number | undefined;
  readonly incarnation?: number | undefined;
}

/** What is restored: the way, and the backups that may be its beginning. */
export interface RestoreChoice {
  readonly way: Way;
  /** Usable backups with their WAL, oldest first. */
  readonly windows: readonly Window[];
  /** Why backups were passed over, one sentence each. */
  readonly notes: readonly string[];
}

/** Which cluster of a repository is meant; several and no word which is a `refused` failure that names them. */
export function chooseCluster(wanted: string | undefined, known: readonly string[], owned: string | undefined): string {
  if (wanted !== undefined) {
    if (known.includes(wanted)) return wanted;
    throw new Failure('refused', `the repository holds no cluster ${wanted}`, { hint: holds(known) });
  }
  const [only, other] = known;
  if (only === undefined) {
    throw new Failure('refused', 'the repository holds no cluster yet', {
      hint: 'Was the right repository named in the option destination?',
    });
  }
  if (other === undefined) return only;
  if (owned !== undefined && known.includes(owned)) return owned;
  throw new Failure('refused', `the repository holds several clusters: ${known.join(', ')}`, {
    hint: 'Say which with --system-identifier; landscape-backup list-backups shows whose they are.',
  });
}

function holds(known: readonly string[]): string {
  return known.length === 0 ? 'It holds none.' : `It holds ${known.join(', ')}.`;
}

/**
 * Which incarnation is meant: the one named, else `preferred`, else the newest that holds anything.
 *
 * One that was claimed and has no backup yet would answer every restore with "nothing"; that it was passed over is said.
 */
export function chooseIncarnation(
  cluster: ClusterCatalogue,
  wanted: number | undefined,
  preferred: number | undefined,
): { readonly incarnation: IncarnationCatalogue; readonly notes: readonly string[] } {
  const number = wanted ?? preferred;
  const newest = cluster.incarnations.at(-1);
  if (number === undefined && newest !== undefined) {
    const full = cluster.incarnations.findLast(
      (each) => defaultTimeline(cluster, each.number, undefined) !== undefined,
    );
    if (full === undefined || full === newest) return { incarnation: newest, notes: [] };
    const empty = `Incarnation ${newest.number} is newer and holds no backup yet: this is incarnation ${full.number}, as it was before.`;
    return { incarnation: full, notes: [empty] };
  }
  const found = cluster.incarnations.find((each) => each.number === number);
  if (found !== undefined) return { incarnation: found, notes: [] };
  const numbers = cluster.incarnations.map((each) => each.number).join(', ');
  throw new Failure('refused', `cluster ${cluster.systemIdentifier} has no incarnation ${number ?? ''}`.trimEnd(), {
    hint: numbers === '' ? 'It has none that can be read.' : `It has ${numbers}.`,
  });
}

/** Decides timeline and backups, as far as the operator has left them open. Fails with `refused`. */
export function chooseBackups(
  cluster: ClusterCatalogue,
  incarnation: IncarnationCatalogue,
  wishes: RestoreWishes,
): RestoreChoice {
  const pinned = wishes.backup === undefined ? undefined : findBackup(cluster, incarnation, wishes.backup);
  const timeline = wishes.timeline ?? defaultTimeline(cluster, incarnation.number, pinned);
  const way = timeline === undefined ? undefined : wayTo(cluster, incarnation.number, timeline);
  if (way === undefined || !isKnown(cluster, way)) throw noTimeline(incarnation, wishes);
  const all = windowsOn(cluster, way);
  const notes: string[] = [];
  const usable = all.filter((window) => {
    const fault = faultOf(cluster, window.backupIncarnation, window.backup);
    if (fault === undefined) return true;
    if (window.backup.id === wishes.backup)
      throw new Failure('refused', `backup ${window.backup.id} is no use: ${fault}`, {
        hint: 'Leave --backup out to use the newest that is.',
      });
    notes.push(`Backup ${window.backup.id} was passed over: ${fault}.`);
    return false;
  });
  const windows = pinned === undefined ? usable : usable.filter(({ backup }) => backup.id === pinned.id);
  if (windows.length > 0) return { way, windows, notes };
  throw noBackup(cluster, way, pinned);
}

function faultOf(cluster: ClusterCatalogue, incarnation: number, backup: Backup): string | undefined {
  const catalogue = cluster.incarnations.find(({ number }) => number === incarnation);
  return catalogue === undefined ? undefined : backupFault(catalogue, backup.id);
}

/** The backup of that id in the incarnation or an ancestor. */
function findBackup(cluster: ClusterCatalogue, incarnation: IncarnationCatalogue, id: string): Backup {
  const holder = cluster.incarnations.find(({ backups }) => backups.some((backup) => backup.id === id));
  const found = holder?.backups.find((backup) => backup.id === id);
  if (holder !== undefined && found !== undefined) return found;
  const unfinished = cluster.incarnations.some((each) => each.unfinished.some((backup) => backup.id === id));
  throw new Failure(
    'refused',
    unfinished ? `backup ${id} is not complete` : `cluster ${cluster.systemIdentifier} has no backup ${id}`,
    {
      hint: `Incarnation ${incarnation.number} and its ancestors: landscape-backup list-backups shows what they hold.`,
    },
  );
}

function isKnown(cluster: ClusterCatalogue, way: Way): boolean {
  return way.stretches.length > 0 || backupsOn(cluster, way).length > 0;
}

function noTimeline(incarnation: IncarnationCatalogue, wishes: RestoreWishes): Failure {
  const known = timelinesOf(incarnation).join(', ');
  if (wishes.timeline !== undefined) {
    return new Failure('refused', `incarnation ${incarnation.number} has no timeline ${wishes.timeline}`, {
      hint: known === '' ? 'Nothing of it is stored yet.' : `It has ${known}.`,
    });
  }
  const about =
    wishes.backup === undefined
      ? 'holds no complete backup'
      : `has no timeline that begins with backup ${wishes.backup}`;
  return new Failure('refused', `incarnation ${incarnation.number} ${about}`, {
    hint: 'Another may: landscape-backup list-backups shows them, --incarnation chooses.',
  });
}

function noBackup(cluster: ClusterCatalogue, way: Way, pinned: Backup | undefined): Failure {
  const on = backupsOn(cluster, way).map(({ backup }) => backup);
  const place = `timeline ${way.timeline} of incarnation ${way.incarnation}`;
  if (pinned !== undefined && !on.some(({ id }) => id === pinned.id)) {
    return new Failure('refused', `${place} does not descend from backup ${pinned.id} (timeline ${pinned.timeline})`, {
      hint: 'Leave --timeline out, or choose a backup of that timeline.',
    });
  }
  const own = on.filter((backup) => backup.withWal && (pinned === undefined || backup.id === pinned.id)).at(-1);
  if (own !== undefined) {
    return new Failure(
      'refused',
      `backup ${own.id} carries its own WAL and restores to its own end only: there is no point in time`,
      {
        hint: `Use --to backup --backup ${own.id}.`,
      },
    );
  }
  const which = pinned === undefined ? `no backup of ${place} has` : `backup ${pinned.id} has not`;
  return new Failure('refused', `${which} all WAL from its start to its stop`, {
    hint: 'landscape-backup list-backups shows what can be restored, and where segments are missing.',
  });
}

/** For a backup's own end: the backup that is used, where it carries its own WAL; `undefined` when the windows decide. */
export function chooseSelfContained(
  cluster: ClusterCatalogue,
  incarnation: IncarnationCatalogue,
  wishes: RestoreWishes,
): { readonly backup: Backup; readonly incarnation: number } | undefined {
  if (wishes.target.to !== 'backup') return undefined;
  const timelines = wishes.timeline === undefined ? timelinesOf(incarnation).toReversed() : [wishes.timeline];
  for (const timeline of timelines) {
    const way = wayTo(cluster, incarnation.number, timeline);
    const windows = way === undefined ? [] : windowsOn(cluster, way);
    const newest = (way === undefined ? [] : backupsOn(cluster, way))
      .filter(({ backup, incarnation: holder }) => {
        if (wishes.backup !== undefined && backup.id !== wishes.backup) return false;
        if (faultOf(cluster, holder, backup) !== undefined) return false;
        return backup.withWal || windows.some((window) => window.backup.id === backup.id);
      })
      .sort((a, b) => (a.backup.stopLsn < b.backup.stopLsn ? -1 : 1))
      .at(-1);
    if (newest !== undefined) return newest.backup.withWal ? newest : undefined;
  }
  return undefined;
}
