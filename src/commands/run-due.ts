import { exitCodes } from '../core/failure.ts';
import { sampleArchiving } from '../jobs/archive-lag.ts';
import { takeBackup } from '../jobs/backup.ts';
import { configure } from '../jobs/configure.ts';
import { findHoles } from '../jobs/find-holes.ts';
import { prune } from '../jobs/prune.ts';
import { isUnderWay, readRestoreState } from '../jobs/restore/restore-state.ts';
import { runDue as run, type Done, type DueParts, type RanDue } from '../jobs/run-due.ts';
import { guardSlot } from '../jobs/streaming.ts';
import { witness, witnessServer } from '../jobs/witness.ts';
import { readControlData } from '../postgres/control-data.ts';
import { isInRecovery } from '../postgres/server-facts.ts';
import { lookAtBoth, withWholeSecond } from '../jobs/second.ts';
import type { Repository } from '../repository/repository.ts';
import { withRepository, type Context } from './context.ts';
import { withSecondKept } from './keep-second.ts';
import type { Result } from './output.ts';
import type { Verb } from './program.ts';
import { hostZone, pruneContext } from './prune-context.ts';

/** `run-due`: what the timer calls every minute. */
export const runDue: Verb = {
  name: 'run-due',
  summary: 'do what is due: archiving settings, a backup, pruning, a witness',
  help: `The systemd timer calls it every minute; it may be called at any time and twice at once. A night that was missed is
made up for; a backup that failed is tried again after a growing while.`,
  run: async (context) => {
    const restoring = await readRestoreState(context.unit);
    if (restoring !== undefined && isUnderWay(restoring)) {
      return {
        text: `a restore is under way (${restoring.stage}): nothing else is done`,
        json: { restoring: restoring.stage },
      };
    }
    await guardSlot(context).catch(() => undefined); // A server that does not answer keeps nothing for anybody either.
    // Before the destination is asked: how archiving keeps up is told most wanted while that is away.
    await sampleArchiving(context).catch(() => undefined); // A server that does not answer is no reason to do nothing.
    if (context.settings.second !== undefined) await lookAtBoth(context);
    const isStandby = context.cluster.running && (await isInRecovery(context.cluster));
    const due = async (): Promise<Result> =>
      await withRepository(context, async (repository) => {
        const site = { ...context, repository, hostZone: hostZone(), isStandby };
        return describe(await run(site, partsOf(context, repository, isStandby)));
      });
    return await withSecondKept(context, { fills: !isStandby }, due);
  },
};

function partsOf(context: Context, repository: Repository, isStandby: boolean): DueParts {
  const { cluster } = context;
  return {
    reconcile: async () => {
      await configure(context, repository);
      if (!isStandby) await findHoles(context, repository);
    },
    backup: async (trigger) => await takeBackup({ ...context, repository }, { trigger }),
    prune: async () => {
      await prune(pruneContext(context, repository), { by: 'schedule' });
      // Each by what lies there; one that is behind waits for another time.
      await withWholeSecond(context, async (second) => {
        await prune({ ...pruneContext(context, second), isSecond: true }, { by: 'schedule' });
      });
    },
    witness: async () => {
      if (!cluster.running) return;
      const { segmentSize } = await readControlData(cluster.binaries, cluster.dataDirectory);
      await witness({ ...context, repository, server: witnessServer(cluster, segmentSize) });
    },
  };
}

function describe(ran: RanDue): Result {
  if (ran.is === 'busy') return { text: 'another run-due is at it', json: { busy: true } };
  const failed = ran.done.find(({ failure }) => failure !== undefined && failure.kind !== 'busy')?.failure;
  return {
    text: ran.done.map(line).join('\n'),
    json: {
      done: ran.done.map(({ did, why, failure }) => ({
        did,
        why: why ?? null,
        failure:
          failure === undefined ? null : { kind: failure.kind, message: failure.message, hint: failure.hint ?? null },
      })),
    },
    exitCode: failed === undefined ? 0 : exitCodes[failed.kind],
  };
}

function line({ did, why, failure }: Done): string {
  const what = why === undefined ? did : `${did} (${why})`;
  if (failure === undefined) return `${what}: done`;
  return `${what}: ${failure.message}${failure.hint === undefined ? '' : `\n  next: ${failure.hint}`}`;
}
