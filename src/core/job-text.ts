import { formatBytes, formatSeconds } from './words.ts';

/** What a step of a job may tell of itself, besides what is being done. */
export interface ToldStep {
  readonly phase: string;
  readonly bytes?: number | undefined;
  readonly estimatedBytes?: number | undefined;
  readonly bytesPerSecond?: number | null | undefined;
  readonly secondsLeft?: number | null | undefined;
  readonly note?: string | undefined;
}

/** One line of progress: `copying the cluster: 1.2 GiB of 3.4 GiB (35 %), 310 MiB/s, 7 s left, 410 MiB sent`. */
export function stepText({ phase, bytes, estimatedBytes, bytesPerSecond, secondsLeft, note }: ToldStep): string {
  const facts: string[] = [];
  if (bytes !== undefined) {
    const share =
      estimatedBytes === undefined || estimatedBytes === 0
        ? undefined
        : Math.min(100, Math.floor((100 * bytes) / estimatedBytes));
    facts.push(
      share === undefined
        ? formatBytes(bytes)
        : `${formatBytes(bytes)} of ${formatBytes(estimatedBytes ?? 0)} (${share} %)`,
    );
  }
  if (isNumber(bytesPerSecond)) facts.push(`${formatBytes(bytesPerSecond)}/s`);
  if (isNumber(secondsLeft)) facts.push(`${formatSeconds(secondsLeft)} left`);
  if (note !== undefined) facts.push(note);
  return facts.length === 0 ? phase : `${phase}: ${facts.join(', ')}`;
}

function isNumber(value: number | null | undefined): value is number {
  return value !== undefined && value !== null && Number.isFinite(value);
}

/** Between two lines that tell of the same phase. */
const samePhaseMs = 5000;
/** Between any two lines: phases may follow each other faster than anybody reads. */
const anyMs = 1000;

/** Chooses which steps of a job are told to who follows it: a new phase soon, more of the same every few seconds. */
export function stepTeller(): (step: ToldStep, nowMs: number) => string | undefined {
  let told: { readonly phase: string; readonly text: string; readonly atMs: number } | undefined;
  return (step, nowMs) => {
    const text = stepText(step);
    const ago = told === undefined ? Infinity : nowMs - told.atMs;
    if (text === told?.text || ago < (step.phase === told?.phase ? samePhaseMs : anyMs)) return undefined;
    told = { phase: step.phase, text, atMs: nowMs };
    return text;
  };
}
