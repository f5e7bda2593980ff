import type { Backup } from './backup.ts';
import { formatLsn } from './lsn.ts';
import { formatBytes } from './words.ts';
import type { RestorePlan, RestoreTarget } from './restore-plan.ts';

/** What the text says besides the plan itself. */
export interface PlanFacts {
  readonly id: string;
  readonly backup: Pick<Backup, 'stoppedAt' | 'label' | 'plainBytes'>;
  readonly now: Date;
  /** The cluster that is overwritten runs at the moment. */
  readonly running: boolean;
  readonly room: readonly {
    readonly directories: readonly string[];
    readonly neededBytes: number;
    readonly freeBytes: number;
  }[];
}

/** A plan as text for a person who is tired: what comes back, what is lost, what is touched, and what to type. */
export function planText(plan: RestorePlan, facts: PlanFacts): string {
  const sections: readonly (readonly [string, readonly string[]])[] = [
    ['What comes back', comesBack(plan, facts)],
    ['What is overwritten', overwritten(plan, facts)],
    ['Settings', settings(plan)],
    ['Afterwards', afterwards(plan)],
    ['Note', plan.notes],
  ];
  const body = sections.flatMap(([title, lines]) =>
    lines.length === 0 ? [] : [title, ...lines.map((line) => `  ${line}`), ''],
  );
  return [
    `Plan ${facts.id}: restore PostgreSQL ${plan.major} onto ${plan.cluster}${plan.inPlace ? ' in place' : ''}`,
    '',
    ...body,
    'Nothing has been changed yet. To do exactly this, on this machine:',
    `  landscape-backup restore --cluster ${plan.cluster} --confirm=${facts.id}`,
    '',
  ].join('\n');
}

function comesBack(plan: RestorePlan, { backup, now }: PlanFacts): readonly string[] {
  const label = backup.label === '' ? '' : ` "${backup.label}"`;
  const lines = [
    `cluster ${plan.systemIdentifier}, incarnation ${plan.incarnation}, timeline ${plan.timeline}, from ${plan.url}`,
    `backup ${plan.backup.id}${label}${plan.backup.incarnation === plan.incarnation ? '' : ` of incarnation ${plan.backup.incarnation}`}, ${age(now, backup.stoppedAt)} old, ${formatBytes(backup.plainBytes)}`,
    `to ${targetText(plan.target)}`,
    stopText(plan),
  ];
  const segments = plan.service.segments.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  if (segments > 0)
    lines.push(
      `by ${segments} WAL segments (${formatBytes(segments * plan.segmentSize)}), each fetched and verified for this plan`,
    );
  lines.push(
    plan.restoredTo === null
      ? 'the WAL holds no commit between the backup and that place'
      : `the newest commit that comes back is of ${plan.restoredTo.toISOString()}, ${age(now, plan.restoredTo)} ago`,
    'everything committed after it is not in the restored cluster',
  );
  return lines;
}

function stopText(plan: RestorePlan): string {
  switch (plan.stop.at) {
    case 'record':
      return `stops before the record at ${formatLsn(plan.stop.lsn)}; the new timeline leaves at ${formatLsn(plan.switchLsn ?? plan.after)}`;
    case 'backup-end':
      return `stops where the backup is consistent, at ${formatLsn(plan.after)} or just behind`;
    case 'end':
      return `stops at the proven end ${formatLsn(plan.switchLsn ?? plan.after)}; WAL that arrives from now on does not change that`;
  }
}

/** A target in words. */
function targetText(target: RestoreTarget): string {
  const edge = (exclusive: boolean) => (exclusive ? 'without it' : 'with it');
  switch (target.to) {
    case 'end':
      return 'the end of the stored WAL';
    case 'backup':
      return "the backup's own end";
    case 'time':
      return `${target.time.toISOString()} (UTC), transactions of that very instant ${target.exclusive ? 'excluded' : 'included'}`;
    case 'lsn':
      return `LSN ${formatLsn(target.lsn)}, the record that begins there ${edge(target.exclusive)}`;
    case 'name':
      return `the restore point "${target.name}"`;
    case 'xid':
      return `transaction ${target.xid}, ${edge(target.exclusive)}`;
  }
}

function overwritten(plan: RestorePlan, { running, room }: PlanFacts): readonly string[] {
  const { data, wal, tablespaces } = plan.directories;
  const moved = (was: string, location: string) => (was === location ? '' : ` (was ${was})`);
  return [
    `${data}${running ? `; ${plan.cluster} is running and will be stopped` : ''}`,
    ...(wal === null ? [] : [`${wal} (WAL)`]),
    ...tablespaces.map(({ oid, was, location }) => `${location} (tablespace ${oid})${moved(was, location)}`),
    plan.discardOld
      ? 'THE OLD CONTENTS ARE DELETED. There is no way back.'
      : 'the old contents are set aside in the same place: landscape-backup abandon-restore puts them back, remove-old deletes them',
    ...room.map(
      ({ directories, neededBytes, freeBytes }) =>
        `needs ${formatBytes(neededBytes)} of ${formatBytes(freeBytes)} at ${directories.join(', ')}`,
    ),
  ];
}

function settings({ settings: { raised, carried }, credentials }: RestorePlan): readonly string[] {
  return [
    ...Object.entries(raised).map(([name, value]) => `${name} is raised to ${value}: recovery needs it`),
    ...Object.entries(carried).map(([name, value]) => `${name} = '${value}' is taken over from production`),
    credentials === 'spare'
      ? "database roles keep this machine's passwords"
      : "database roles get production's passwords",
    'everything else stays as it is on this machine',
  ];
}

function afterwards(plan: RestorePlan): readonly string[] {
  if (plan.claims === null) {
    return [
      `${plan.cluster} is a copy: it archives nothing, and nothing here can change the original's backups`,
      'landscape-backup take-over makes it the successor',
    ];
  }
  const who = plan.inPlace ? 'this cluster goes on' : `${plan.cluster} takes over`;
  return [`${who} as incarnation ${plan.claims}, archiving from its first start without a gap`];
}

function age(now: Date, then: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - then.getTime()) / 1000));
  if (seconds < 120) return `${seconds} seconds`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} minutes`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} hours ${Math.floor((seconds % 3600) / 60)} minutes`;
  return `${Math.floor(seconds / 86_400)} days ${Math.floor((seconds % 86_400) / 3600)} hours`;
}
