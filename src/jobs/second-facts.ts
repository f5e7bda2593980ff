import type { SecondFact } from '../core/second-findings.ts';
import { LackingFolder, type Side } from '../system/lacking.ts';
import type { JobContext } from './job-context.ts';

/** The names of WAL files are in the order of time: the oldest is among the first. */
const looked = 100;

/** How it is with the second destination, as this unit's notes tell; nobody is asked. `undefined` where there is nothing to tell. */
export async function readSecondFact({
  unit,
  settings,
}: Pick<JobContext, 'unit' | 'settings'>): Promise<SecondFact | undefined> {
  const folder = new LackingFolder(unit.path);
  const only = await lackedBy(folder, 'first');
  const url = settings.second?.destination.url;
  if (url === undefined && only.objects === 0) return undefined;
  const note = await folder.awayNote('second');
  const filled = await folder.filled();
  return {
    url,
    isFilled: filled !== undefined && filled.url === url,
    away: note === undefined ? undefined : { ...note, since: new Date(note.since) },
    behind: await lackedBy(folder, 'second'),
    only,
  };
}

async function lackedBy(folder: LackingFolder, side: Side): Promise<SecondFact['only']> {
  const keys = await folder.keys(side);
  const entries = [];
  for (const key of keys.slice(0, looked)) entries.push(await folder.entry(side, key));
  const known = entries.flatMap((entry) => entry ?? []);
  const oldest = known.toSorted((a, b) => Date.parse(a.since) - Date.parse(b.since))[0];
  return {
    objects: keys.length,
    since: oldest === undefined ? undefined : new Date(oldest.since),
    lies: oldest?.lies ?? 'a place that nobody knows',
  };
}
