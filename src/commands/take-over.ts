import { Option } from 'commander';
import { formatLsn } from '../core/lsn.ts';
import { keepCopy } from '../jobs/keep-copy.ts';
import { takeOver as claim } from '../jobs/take-over.ts';
import type { TakenOver } from '../jobs/take-over.ts';
import { withRepository } from './context.ts';
import { flag, numberOption, type Verb } from './program.ts';

/** `take-over`: makes a restored copy the owner of its own line. */
export const takeOver: Verb = {
  name: 'take-over',
  summary: 'make a restored copy the owner of a new line, and archive it from now on',
  help: `After a restore a cluster is a copy: it archives nothing and writes nothing to the repository. This claims the next
incarnation for it, turns archiving on and asks for a base backup, where its window begins. The original keeps its own line.
Archiving needs a restart of PostgreSQL: where "restart-postgresql" is false this refuses before anything is claimed.

  landscape-backup take-over
  landscape-backup take-over --keep-copy       no: it stays a copy, and status stops asking`,
  options: [
    new Option('--keep-copy', 'claim nothing: note that this cluster stays a copy'),
    new Option('--incarnation <number>', 'the one that it was restored from, where that is not plain to see'),
  ],
  run: async (context, options) =>
    await withRepository(context, async (repository) => {
      if (flag(options, 'keepCopy')) {
        await keepCopy(context, repository);
        return { text: `cluster ${context.cluster.label} stays a copy: it is not archived`, json: { keepCopy: true } };
      }
      const parent = numberOption(options, 'incarnation', '--incarnation');
      const done = await claim(context, repository, { parent });
      return { text: describe(done, context.cluster.label), json: { takeOver: toJson(done) } };
    }),
};

function toJson({ incarnation, claimed, gap, restarted, archiving }: TakenOver) {
  return {
    incarnation: incarnation.number,
    claimed,
    parent: { ...gap.parent, lsn: formatLsn(gap.parent.lsn) },
    archivedFrom: { timeline: gap.until.timeline, lsn: formatLsn(gap.until.lsn) },
    restarted,
    archiving: archiving?.is ?? 'unknown',
  };
}

function describe({ incarnation, claimed, gap, restarted, archiving }: TakenOver, label: string): string {
  const lines = [
    `cluster ${label} ${claimed ? 'now owns' : 'owns'} incarnation ${incarnation.number}`,
    `  it left incarnation ${gap.parent.incarnation} at ${formatLsn(gap.parent.lsn)} on timeline ${gap.parent.timeline}`,
    `  not archived: from there to ${formatLsn(gap.until.lsn)} on timeline ${gap.until.timeline}`,
  ];
  if (restarted) lines.push('PostgreSQL was restarted');
  if (archiving?.is === 'restart-needed') lines.push(`archiving waits for a restart (${archiving.waiting.join(', ')})`);
  lines.push('  next: landscape-backup backup, where its own window begins (the schedule does it too)');
  return lines.join('\n');
}
