import * as z from 'zod';
import { exitCodes, toFailure, type FailureKind } from './failure.ts';

const kindSchema = z.custom<FailureKind>((kind) => typeof kind === 'string' && Object.hasOwn(exitCodes, kind));

/** One thing that was tried. */
const checkSchema = z.object({
  name: z.string(),
  ok: z.boolean(),
  /** What was found: the proof, or what is wrong. */
  what: z.string(),
  /** What the reader can do; null when nothing is wrong. */
  hint: z.string().nullable(),
  /** Of what kind the fault is; null when nothing is wrong. */
  kind: kindSchema.nullable(),
});
export type Check = z.infer<typeof checkSchema>;

/** All that `check` tried, in its order: the shape of `check --format json`. */
export const checkReportSchema = z.object({
  checks: z.array(checkSchema),
  /** What could not be tried because something before it failed. */
  notTried: z.array(z.string()),
});
export type CheckReport = z.infer<typeof checkReportSchema>;

/** A check that found nothing wrong. */
export function passed(name: string, what: string): Check {
  return { name, ok: true, what, hint: null, kind: null };
}

/** A check that found a fault. */
export function failed(name: string, error: unknown): Check {
  const { kind, message, hint } = toFailure(error);
  return { name, ok: false, what: message, hint: hint ?? null, kind };
}

/** From what is worst for the data to what may pass by itself. */
const byWeight: readonly FailureKind[] = [
  'damaged',
  'conflict',
  'internal',
  'refused',
  'settings',
  'missing',
  'machine',
  'postgres',
  'unavailable',
  'busy',
  'usage',
];

/** The exit code of a report: 0, or that of the worst fault's kind. */
export function reportExitCode({ checks }: CheckReport): number {
  const kinds = new Set(checks.map(({ kind }) => kind));
  const worst = byWeight.find((kind) => kinds.has(kind));
  return worst === undefined ? 0 : exitCodes[worst];
}

/** The report as lines for people, what is to be done under what is wrong. */
export function reportText({ checks, notTried }: CheckReport): string {
  const lines = checks.flatMap(({ name, ok, what, hint }) => [
    `${ok ? 'ok  ' : 'FAIL'} ${name}: ${what}`,
    ...(hint === null ? [] : [`     next: ${hint}`]),
  ]);
  const why = checks.some(({ ok }) => !ok) ? 'not tried, because of what failed before it' : 'does not apply here';
  return [...lines, ...notTried.map((name) => `--   ${name}: ${why}`), ''].join('\n');
}

const skewLimitMs = 5 * 60 * 1000;

/** Says which clocks disagree by more than five minutes; `undefined` when none do. Times then say nothing about order. */
export function clockFault(clocks: Readonly<Record<string, Date>>): string | undefined {
  const named = Object.entries(clocks).toSorted(([, a], [, b]) => a.getTime() - b.getTime());
  const [first, last] = [named[0], named.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const apart = last[1].getTime() - first[1].getTime();
  if (apart <= skewLimitMs) return undefined;
  return `the clock of ${last[0]} is ${Math.round(apart / 1000)} s ahead of that of ${first[0]}`;
}
