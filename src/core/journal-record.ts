import * as z from 'zod';
import { instantSchema } from './backup.ts';
import { exitCodes, toFailure, type FailureKind } from './failure.ts';

const failureKindSchema = z.custom<FailureKind>((kind) => typeof kind === 'string' && Object.hasOwn(exitCodes, kind));

/**
 * One line of a unit's journal. A job writes one when it begins (`running`) and one with the same id when it ends; the later
 * line of an id counts, so a job that was killed stays `running` and whoever holds its lock next knows that it died.
 */
export const journalRecordSchema = z.object({
  format: z.literal(1),
  /** The job's id, see `jobId`. */
  id: z.string().min(1),
  kind: z.enum(['backup', 'prune', 'verify', 'drill', 'restore', 'take-over', 'retire', 'copy', 'rewrap']),
  /** What started it: a person, the schedule, or the reason that made it due by itself. */
  trigger: z.enum(['person', 'schedule', 'missed', 'retry', 'hole', 'foreign-archiver', 'take-over', 'backup']),
  startedAt: instantSchema,
  endedAt: instantSchema.nullable(),
  outcome: z.enum(['running', 'succeeded', 'failed']),
  failure: z.object({ kind: failureKindSchema, message: z.string(), hint: z.string().nullable() }).nullable(),
  /** What was measured, for people and for estimates: bytes, seconds, counts. */
  numbers: z.record(z.string(), z.number()),
  /** What it was about: a backup's id, a plan's id. */
  about: z.record(z.string(), z.string()),
});
export type JournalRecord = z.infer<typeof journalRecordSchema>;

/** A job's id: sorts by the time of its start and is unique by its random end: `backup-20261124T020304Z-3f9a1c`. */
export function jobId(kind: string, startedAt: Date, random: string): string {
  return `${kind}-${startedAt
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:]/g, '')}-${random}`;
}

/** The line of a job that begins. */
export function jobBegins(job: Pick<JournalRecord, 'id' | 'kind' | 'trigger' | 'startedAt'>): JournalRecord {
  return { format: 1, ...job, endedAt: null, outcome: 'running', failure: null, numbers: {}, about: {} };
}

/** What the line of a job says of the destination that it works at, where that is the second one. */
export function aboutPlace(isSecond = false): JournalRecord['about'] {
  return isSecond ? { destination: 'second' } : {};
}

/** Tells whether a job was about the second destination. */
export function isOfSecond({ about }: Pick<JournalRecord, 'about'>): boolean {
  return about['destination'] === 'second';
}

/** The line of a job that did what it was for. */
export function jobSucceeded(
  begun: JournalRecord,
  endedAt: Date,
  facts: {
    readonly numbers?: Readonly<Record<string, number>>;
    readonly about?: Readonly<Record<string, string>>;
  } = {},
): JournalRecord {
  return { ...begun, endedAt, outcome: 'succeeded', numbers: { ...facts.numbers }, about: { ...facts.about } };
}

/** The line of a job that did not. */
export function jobFailed(begun: JournalRecord, endedAt: Date, error: unknown): JournalRecord {
  const { kind, message, hint } = toFailure(error);
  return { ...begun, endedAt, outcome: 'failed', failure: { kind, message, hint: hint ?? null } };
}

/** The jobs that journal lines speak of, in the order in which they began; of several lines of one job the last counts. */
export function joinRecords(lines: readonly JournalRecord[]): readonly JournalRecord[] {
  const jobs = new Map<string, JournalRecord>();
  for (const line of lines) jobs.set(line.id, line);
  return [...jobs.values()];
}
