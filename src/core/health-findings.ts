import { lagLevel, lagText, progressText } from './archive-lag.ts';
import type { Finding, HealthFacts, Level } from './health-facts.ts';
import { missingText, walLineText } from './wal-line.ts';
import { aboutSecond } from './second-findings.ts';
import { aboutStream, streamText } from './stream-findings.ts';

/** How long archiving may fail before it is an alarm. */
const failureAlarmSeconds = 5 * 60;
/** How late a scheduled backup may be before the timer itself is in doubt. */
const overdueSeconds = 60 * 60;

function say(level: Level, text: string, next?: string): readonly Finding[] {
  return [{ level, text, next }];
}

/** Everything that is to be said of the facts, in no order of weight. What makes the rest meaningless stands alone. */
export function findings(facts: HealthFacts): readonly Finding[] {
  const { label, standing } = facts;
  if (facts.restore !== undefined) {
    return say(
      'attention',
      `${label}: a restore is under way: ${facts.restore}`,
      'Wait for it; landscape-backup abandon-restore puts the old contents back.',
    );
  }
  const place = aboutRepository(facts);
  if (facts.isInRecovery) return [...place, ...aboutStandby(facts)];
  if (standing?.is === 'copy') return [...place, ...aboutCopy(facts, standing)];
  if (standing?.is === 'none') {
    return [
      ...place,
      ...say(
        'blocked',
        `${label}: the repository does not know this cluster, nothing is kept`,
        'landscape-backup init',
      ),
    ];
  }
  return [
    ...place,
    ...aboutServer(facts),
    ...aboutArchiving(facts),
    ...aboutBackups(facts),
    ...aboutPrunes(facts),
    ...aboutWindow(facts),
    ...aboutLine(facts),
    ...aboutSecond(label, facts.second, facts.now),
    ...aboutProgress(facts),
  ];
}

function aboutRepository({ label, destination, repository, second }: HealthFacts): readonly Finding[] {
  if (destination === undefined)
    return say(
      'blocked',
      `${label}: the option destination is empty, nothing is kept`,
      'Write "destination: /srv/backup" into the settings, then landscape-backup init.',
    );
  if (repository === 'open') return [];
  // What is unreachable may come back by itself, and WAL waits for it; the rest waits for a person.
  const level = repository.kind === 'unavailable' ? 'alarm' : 'blocked';
  const takesOver = second?.isFilled === true && second.away === undefined;
  const where = takesOver ? 'WAL goes to the second destination' : 'WAL waits on this machine';
  const meanwhile = repository.kind === 'unavailable' ? `; ${where}` : '';
  return say(level, `${label}: ${repository.message}${meanwhile}`, repository.hint);
}

function aboutCopy(
  { label }: HealthFacts,
  { of, isKept }: { readonly of: string; readonly isKept: boolean },
): readonly Finding[] {
  if (isKept) return say('ok', `${label}: copy of ${of}, not archived`);
  return say(
    'blocked',
    `${label}: restored copy of ${of}, not archived: take-over, or keep it as a copy`,
    'landscape-backup take-over, or landscape-backup take-over --keep-copy',
  );
}

/** A standby archives nothing and takes no backups: that is its primary's, and its own once it is promoted. */
function aboutStandby({ label, standing }: HealthFacts): readonly Finding[] {
  if (standing?.is === 'owner')
    return say('ok', `${label}: a standby: its primary is kept, and it goes on from there when it is promoted`);
  return say(
    'attention',
    `${label}: the cluster is in recovery (a standby): its primary is the one to keep`,
    'Keep the primary.',
  );
}

function aboutServer({ label, isRunning, server }: HealthFacts): readonly Finding[] {
  if (!isRunning)
    return say('alarm', `${label}: the cluster does not run`, `pg_ctlcluster ${label.replace('/', ' ')} start`);
  if (server !== undefined) return say('alarm', `${label}: ${server.message}`, server.hint);
  return [];
}

function aboutArchiving(facts: HealthFacts): readonly Finding[] {
  const { label, archiving, walArchiving } = facts;
  if (archiving === undefined) return aboutFailure(facts);
  if (!walArchiving)
    return archiving.is === 'ours'
      ? say(
          'attention',
          `${label}: archiving still runs though wal-archiving is false`,
          'landscape-backup run-due takes it off.',
        )
      : [];
  if (facts.stream !== undefined) return [...aboutStream(label, facts.stream), ...aboutFailure(facts)];
  if (archiving.is === 'foreign') {
    return say(
      'blocked',
      `${label}: somebody else archives this cluster (${archiving.command})`,
      'Take that archiver out of service, or set wal-archiving to false; then landscape-backup init.',
    );
  }
  if (archiving.waiting.length > 0) {
    return say(
      'blocked',
      `${label}: ${archiving.waiting.join(' and ')} waits for a restart of PostgreSQL; until then nothing is archived`,
      'Restart the cluster, or set restart-postgresql to true.',
    );
  }
  if (archiving.is === 'discarded')
    return say(
      'alarm',
      `${label}: archive_command "${archiving.command}" throws WAL away`,
      'landscape-backup init sets it.',
    );
  if (archiving.is === 'off')
    return say(
      'alarm',
      `${label}: PostgreSQL does not archive`,
      'landscape-backup init sets it; landscape-backup check says what is in the way.',
    );
  return [...aboutFailure(facts), ...aboutLag(facts)];
}

function aboutFailure({ label, archiveFailure, repository, now }: HealthFacts): readonly Finding[] {
  if (archiveFailure === undefined) return [];
  const { since, name, message, hint } = archiveFailure;
  const seconds = (now.getTime() - since.getTime()) / 1000;
  const level = seconds < failureAlarmSeconds ? 'attention' : 'alarm';
  const what = `${label}: ${name} could not be archived since ${since.toISOString()}`;
  const isSaid = repository !== 'open' && repository.message === message;
  return isSaid ? say(level, `${what}, for the same reason`) : say(level, `${what}: ${message}`, hint);
}

function aboutLag({ label, archiving, archiveTimeoutSeconds }: HealthFacts): readonly Finding[] {
  const level = archiving === undefined ? 'ok' : lagLevel(archiving.lag, archiveTimeoutSeconds);
  if (archiving === undefined || level === 'ok') return [];
  const next = 'landscape-backup check says what is in the way; PostgreSQL keeps them until then.';
  return say(level, `${label}: ${lagText(archiving.lag)}`, next);
}

/** What goes on, behind everything that is to be done about something. */
function aboutProgress({
  label,
  archiving,
  stream,
  walArchiving,
  archiveTimeoutSeconds,
}: HealthFacts): readonly Finding[] {
  if (stream !== undefined) return stream.slot === 'good' ? say('ok', `${label}: ${streamText(stream)}`) : [];
  if (archiving?.is !== 'ours' || !walArchiving) return [];
  const isSaid = lagLevel(archiving.lag, archiveTimeoutSeconds) !== 'ok';
  const parts = [isSaid ? '' : lagText(archiving.lag), progressText(archiving.lag)].filter((text) => text !== '');
  return parts.length === 0 ? [] : say('ok', `${label}: ${parts.join('; ')}`);
}

function aboutBackups(facts: HealthFacts): readonly Finding[] {
  const { label, backups, lastFailure, needed, now, lastScheduled } = facts;
  if (backups === undefined) return [];
  const said: Finding[] = [];
  const isRunning = facts.runningBackupSince !== undefined;
  if (lastFailure !== undefined)
    said.push(
      ...say(
        'alarm',
        `${label}: the backup of ${lastFailure.at.toISOString()} failed: ${lastFailure.message}`,
        lastFailure.hint,
      ),
    );
  const open = facts.holes.filter(() => needed.some(({ reason }) => reason === 'hole'));
  for (const hole of open)
    said.push(
      ...say(
        'alarm',
        `${label}: ${hole.why}; nothing after it can be restored from an older backup`,
        'A new backup is taken by itself; landscape-backup backup takes it now.',
      ),
    );
  for (const { reason, why } of needed) {
    if (reason !== 'hole' || open.length === 0)
      said.push(
        ...say(
          'attention',
          `${label}: a new base backup is needed: ${why}`,
          'It is taken by itself; landscape-backup backup takes it now.',
        ),
      );
  }
  if (backups.complete === 0) {
    said.push(
      ...say(
        isRunning ? 'attention' : 'alarm',
        `${label}: there is no complete base backup: nothing can be restored${isRunning ? ' until the one that runs is complete' : ''}`,
        isRunning ? undefined : 'landscape-backup backup',
      ),
    );
  } else if (!isRunning && lastFailure === undefined && isOverdue(backups.newest, lastScheduled, now)) {
    said.push(
      ...say(
        'attention',
        `${label}: no backup began since the schedule wanted one at ${lastScheduled?.toISOString() ?? ''}`,
        "Does the timer run? systemctl list-timers 'landscape-backup*'",
      ),
    );
  }
  return said;
}

/** Nothing is lost meanwhile, but room. */
function aboutPrunes({ label, waitingPrunes = [] }: HealthFacts): readonly Finding[] {
  return waitingPrunes.flatMap(({ message, hint }) => say('attention', `${label}: ${message}`, hint));
}

/** What is lost is said by `aboutBackups` once it is recorded. */
function aboutLine({ label, line, needed }: HealthFacts): readonly Finding[] {
  if (line === undefined) return [];
  const isRecorded = needed.some(({ reason }) => reason === 'hole');
  const lost =
    line.lost === 0 || isRecorded
      ? []
      : say(
          'alarm',
          `${label}: WAL ${missingText(line, 'lost')}: it is not stored, and nobody has it any more`,
          'landscape-backup run-due records it and takes a new backup, within a minute by itself.',
        );
  const delayed =
    line.delayed === 0
      ? []
      : say(
          'attention',
          `${label}: WAL ${missingText(line, 'delayed')}, though later segments are stored`,
          'landscape-backup check says what is in the way; the server keeps it until then.',
        );
  return [...lost, ...delayed, ...say('ok', `${label}: ${walLineText(line)}`)];
}

function isOverdue(newest: Date | undefined, scheduled: Date | undefined, now: Date): boolean {
  if (scheduled === undefined || newest === undefined || newest >= scheduled) return false;
  return now.getTime() - scheduled.getTime() > overdueSeconds * 1000;
}

function aboutWindow({ label, window, walArchiving, backups, nextBackup }: HealthFacts): readonly Finding[] {
  const next = nextBackup === undefined ? '' : `; next backup ${nextBackup.toISOString()}`;
  if (window !== undefined && window.from.getTime() === window.to.getTime())
    return say('ok', `${label}: can restore to ${window.to.toISOString()}; later seconds follow within minutes${next}`);
  if (window !== undefined)
    return say(
      'ok',
      `${label}: can restore to any second from ${window.from.toISOString()} to ${window.to.toISOString()}${next}`,
    );
  if (backups?.newest === undefined) return [];
  if (!walArchiving)
    return say(
      'ok',
      `${label}: can restore the backups themselves, to no point in time between (wal-archiving is false)${next}`,
    );
  return say(
    'attention',
    `${label}: can restore no point in time yet: the WAL of no backup is whole`,
    'landscape-backup backup',
  );
}
