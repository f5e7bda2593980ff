import type { Finding, Level } from './health-facts.ts';

/** How it is with the second destination, as the unit's own notes tell. */
export interface SecondFact {
  /** `undefined` where the option destination-2 is empty. */
  readonly url: string | undefined;
  /** It had everything once. */
  readonly isFilled: boolean;
  /** Why it is left alone, and since when. */
  readonly away:
    { readonly kind: string; readonly message: string; readonly hint: string | null; readonly since: Date } | undefined;
  /** What it lacks, and since when. */
  readonly behind: { readonly objects: number; readonly since: Date | undefined };
  /** What lies there only, and since when; where that is. */
  readonly only: { readonly objects: number; readonly since: Date | undefined; readonly lies: string };
}

const attentionMs = 5 * 60_000;
const alarmMs = 30 * 60_000;

function levelSince(since: Date | undefined, now: Date): Level {
  const ms = since === undefined ? 0 : now.getTime() - since.getTime();
  if (ms >= alarmMs) return 'alarm';
  return ms >= attentionMs ? 'attention' : 'ok';
}

/** What differs between the unit that fills the second, and one that only stores there. */
const ofCluster = { stops: 'nothing is archived', verb: 'run-due' };
const ofFiles = { stops: 'no files are kept', verb: 'run-due-files' };

/** What is to be said of the second destination. */
export function aboutSecond(label: string, second: SecondFact | undefined, now: Date): readonly Finding[] {
  if (second === undefined) return [];
  return [...aboutOnly(label, second, now), ...aboutPlace(label, second, now, ofCluster)];
}

/** The same on a Landscape unit. It knows of its own file sets only: the unit that owns the cluster says what else is lacking. */
export function aboutSecondOfFiles(second: SecondFact | undefined, now: Date): readonly Finding[] {
  if (second === undefined) return [];
  const { away, behind } = second;
  if (away === undefined && behind.objects === 0) return [];
  return aboutPlace('files', { ...second, isFilled: true }, now, ofFiles);
}

/** WAL that the first lacks is kept, but in one place. */
function aboutOnly(label: string, { only, url }: SecondFact, now: Date): readonly Finding[] {
  if (only.objects === 0) return [];
  const what = `${label}: ${counted(only.objects, 'WAL file')} ${only.objects === 1 ? 'lies' : 'lie'} at ${only.lies} only${sinceText(only.since)}`;
  if (url === only.lies)
    return [
      {
        level: levelSince(only.since, now),
        text: what,
        next: 'Bring the destination back; they follow by themselves.',
      },
    ];
  return [
    {
      level: 'blocked',
      text: what,
      next: `Set the option destination-2 to ${only.lies} until they were brought over.`,
    },
  ];
}

function aboutPlace(
  label: string,
  { url, isFilled, away, behind }: SecondFact,
  now: Date,
  { stops, verb }: typeof ofCluster,
): readonly Finding[] {
  if (url === undefined) return [];
  const lacks = behind.objects === 0 ? '' : `; it lacks ${counted(behind.objects, 'object')}${sinceText(behind.since)}`;
  if (away?.kind === 'conflict') {
    return [{ level: 'blocked', text: `${label}: ${away.message}; ${stops}`, next: away.hint ?? undefined }];
  }
  if (away !== undefined && away.kind !== 'unavailable') {
    return [{ level: 'blocked', text: `${label}: ${away.message}${lacks}`, next: away.hint ?? undefined }];
  }
  if (!isFilled) {
    const text = `${label}: the second destination ${url} is not filled yet, nothing can be restored from there`;
    const level = levelSince(away?.since, now) === 'ok' ? 'ok' : 'attention';
    return [
      {
        level: away === undefined ? 'ok' : level,
        text,
        next: `It is filled by itself; landscape-backup ${verb} tells what is in the way.`,
      },
    ];
  }
  if (away !== undefined) {
    const text = `${label}: ${away.message}, since ${away.since.toISOString()}${lacks}`;
    return [{ level: levelSince(away.since, now), text, next: away.hint ?? undefined }];
  }
  if (behind.objects === 0)
    return [{ level: 'ok', text: `${label}: the second destination ${url} has everything`, next: undefined }];
  const level = levelSince(behind.since, now);
  return [
    {
      level,
      text: `${label}: the second destination ${url}${lacks.slice(1).replace(' it', '')}`,
      next: `They are brought over by themselves; landscape-backup ${verb} tells what is in the way.`,
    },
  ];
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function sinceText(since: Date | undefined): string {
  return since === undefined ? '' : `, since ${since.toISOString()}`;
}
