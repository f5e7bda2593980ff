/** One step of a job that is running, for a person or a log. */
export interface JobProgress {
  /** What is being done: `copying the cluster`. */
  readonly phase: string;
  readonly bytes?: number | undefined;
  readonly estimatedBytes?: number | undefined;
  readonly bytesPerSecond?: number | undefined;
  readonly secondsLeft?: number | undefined;
  readonly note?: string | undefined;
}

/** Where a job tells how far it is. */
export type ReportProgress = (progress: JobProgress) => void;

const betweenMs = 500;
/** A rate of the first moments foretells nothing. */
const settledSeconds = 2;

/**
 * Turns counts of bytes into progress with rate and time left, at most two a second, and the last one where it is what was
 * expected. `nowMs` never goes backwards.
 */
export function makeMeter(
  phase: string,
  estimatedBytes: number,
  nowMs: () => number,
  report: ReportProgress,
): (bytes: number, note?: string) => void {
  const startedMs = nowMs();
  let toldMs = -Infinity;
  return (bytes, note) => {
    const now = nowMs();
    if (now - toldMs < betweenMs && bytes !== estimatedBytes) return;
    toldMs = now;
    const seconds = (now - startedMs) / 1000;
    const bytesPerSecond = seconds >= settledSeconds ? bytes / seconds : undefined;
    const left = Math.max(0, estimatedBytes - bytes);
    const secondsLeft = bytesPerSecond === undefined || bytesPerSecond === 0 ? undefined : left / bytesPerSecond;
    report({ phase, bytes, estimatedBytes, bytesPerSecond, secondsLeft, note });
  };
}
