import { ownerText } from './incarnation.ts';
import type { BackupList, ListedIncarnation } from './backup-list.ts';
import { formatLsn } from './lsn.ts';
import { formatBytes } from './words.ts';

const columns = 60;

/** What can be restored as text: per incarnation a line of time, its windows and its backups. The same list, the same text. */
export function timelineText({ clusters }: BackupList): string {
  if (clusters.length === 0)
    return 'The repository holds no cluster yet: landscape-backup init, then landscape-backup backup.\n';
  const lines = clusters.flatMap(({ systemIdentifier, incarnations }) => [
    `cluster ${systemIdentifier}`,
    ...incarnations.flatMap((incarnation) => describe(incarnation).map((line) => `  ${line}`.trimEnd())),
    '',
  ]);
  return `${lines.join('\n').trimEnd()}\n`;
}

function describe(listed: ListedIncarnation): readonly string[] {
  const { incarnation, isOwn, owner, parent, lastSignOfLife, backups, windows } = listed;
  const whose = isOwn ? 'this unit' : `${ownerText(owner)}, read-only, last sign of life ${second(lastSignOfLife)}`;
  const from =
    parent === null
      ? ''
      : `, continues ${parent.incarnation} from timeline ${parent.timeline} at ${formatLsn(parent.lsn)}`;
  const lines = [`incarnation ${incarnation}: ${whose}${from}`];
  if (backups.length === 0) lines.push('  no complete backup: nothing can be restored');
  else lines.push(...drawing(listed));
  for (const { timeline, from: start, to } of windows) {
    lines.push(`  any second from ${second(start.at)} to ${second(to.at)} on timeline ${timeline}`);
  }
  for (const backup of backups) lines.push(`  ${backupLine(backup)}`);
  for (const { id, storedBytes, unreadable } of listed.unfinished) {
    lines.push(`  ${id}  not complete (${formatBytes(storedBytes)})${unreadable === null ? '' : `: ${unreadable}`}`);
  }
  for (const { why, at } of listed.holes) lines.push(`  hole, found ${second(at)}: ${why}`);
  for (const { name, at, lsn, timeline } of listed.restorePoints) {
    lines.push(`  restore point "${name}": ${second(at)}, timeline ${timeline} at ${formatLsn(lsn)}`);
  }
  return lines;
}

function backupLine({
  id,
  label,
  stoppedAt,
  plainBytes,
  storedBytes,
  withWal,
  fault,
}: ListedIncarnation['backups'][number]): string {
  const facts = [`ends ${second(stoppedAt)}`, `${formatBytes(plainBytes)} in ${formatBytes(storedBytes)}`];
  if (withWal) facts.push('no point in time: it carries its own WAL only');
  if (fault !== null) facts.push(`NOT USABLE: ${fault}`);
  return `${id}  ${label === '' ? '' : `"${label}"  `}${facts.join(', ')}`;
}

/** Time from left to right: `o` a backup, `=` every second, blank nothing. */
function drawing({ backups, windows }: ListedIncarnation): readonly string[] {
  const instants = [
    ...backups.map(({ stoppedAt }) => stoppedAt),
    ...windows.flatMap(({ from, to }) => [from.at, to.at]),
  ].map((at) => at.getTime());
  const [first, last] = [Math.min(...instants), Math.max(...instants)];
  const column = (at: Date) =>
    last === first ? 0 : Math.round(((at.getTime() - first) / (last - first)) * (columns - 1));
  const cells = Array.from({ length: columns }, () => ' ');
  for (const { from, to } of windows) cells.fill('=', column(from.at), column(to.at) + 1);
  for (const { stoppedAt } of backups) cells[column(stoppedAt)] = 'o';
  return [`  |${cells.join('')}|`, `   ${day(first)}${' '.repeat(columns - 20)}${day(last)}   o backup  = any second`];
}

function second(at: Date): string {
  return at.toISOString().replace(/\.\d+Z$/, 'Z');
}

function day(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 10);
}
