import { removeOurSettings, waitsForRestart } from '../postgres/archiving-removal.ts';
import { leaveStreaming } from './streaming.ts';
import { takeLockSoon, type JobContext } from './job-context.ts';

/** What leaving came to. */
export interface Left {
  /** What still needs a person, if anything. */
  readonly note: string | undefined;
}

/**
 * Takes this product's settings off the cluster and puts back what was found. The repository, the owner state and the pin
 * stay: whoever comes back goes on as the same owner, and no destination is needed to leave. What only a restart takes off is
 * taken off by one where `restart-postgresql` is true.
 */
export async function leaveCluster(
  context: Pick<JobContext, 'cluster' | 'unit' | 'settings' | 'control' | 'step'>,
): Promise<Left> {
  const { cluster, unit, settings, control } = context;
  const lock = await takeLockSoon(unit, 'archiving', `the configuration of ${cluster.label}`);
  try {
    const left = await leaveStreaming(context);
    const note = await removeOurSettings(cluster, unit);
    if (!cluster.running || !settings.restartPostgresql || !(await waitsForRestart(cluster))) return joined(left, note);
    await control.stop(cluster);
    await control.start(cluster);
    return joined(left, await removeOurSettings(cluster, unit));
  } finally {
    await lock.release();
  }
}

function joined(...notes: readonly (string | undefined)[]): Left {
  const said = notes.filter((note) => note !== undefined);
  return { note: said.length === 0 ? undefined : said.join('; ') };
}
