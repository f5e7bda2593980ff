import type { Writable } from 'node:stream';
import { exitCodes, type Failure } from '../core/failure.ts';

/** How a command tells its result. */
export type Format = 'text' | 'json';

/** What a command came to: the same facts for people and for programs. `json` has the shape documented in the README. */
export interface Result {
  readonly text: string;
  readonly json: Readonly<Record<string, unknown>>;
  /** The exit code, when the command did its work and what it found is bad (`check`, `status`); 0 unless given. */
  readonly exitCode?: number;
}

/** One step of a job that is running. */
export interface Progress {
  /** What is being done, for people: `copying the cluster`. */
  readonly phase: string;
  readonly bytes?: number | undefined;
  readonly estimatedBytes?: number | undefined;
  readonly bytesPerSecond?: number | undefined;
  readonly secondsLeft?: number | undefined;
  /** Anything else worth a line. */
  readonly note?: string | undefined;
}

/** Where a command speaks: its result to stdout, all else to stderr. */
export interface Output {
  result(result: Result): void;
  failure(failure: Failure): void;
  progress(progress: Progress): void;
}

/** Makes the output of one run of the command. On a terminal progress is one line that is written over. */
export function makeOutput(format: Format, stdout: Writable, stderr: Writable & { isTTY?: boolean }): Output {
  const line = progressLine(stderr);
  return {
    result: ({ text, json }) => {
      line.clear();
      stdout.write(format === 'json' ? `${JSON.stringify(json)}\n` : `${text.trimEnd()}\n`);
    },
    failure: (failure) => {
      line.clear();
      if (format === 'json') {
        const error = {
          kind: failure.kind,
          message: failure.message,
          hint: failure.hint ?? null,
          exitCode: exitCodes[failure.kind],
        };
        stdout.write(`${JSON.stringify({ error })}\n`);
      } else {
        stderr.write(
          `landscape-backup: ${failure.message}\n${failure.hint === undefined ? '' : `  next: ${failure.hint}\n`}`,
        );
      }
    },
    progress: (progress) => {
      if (format === 'json') stderr.write(`${JSON.stringify({ progress })}\n`);
      else line.show(progress);
    },
  };
}

/** Between two lines of the same phase where stderr is no terminal: a log wants to know that it goes on, not every second. */
const quietMilliseconds = 15_000;

function progressLine(stderr: Writable & { isTTY?: boolean }) {
  let phase = '';
  let saidAt = 0;
  let isOpen = false;
  const clear = () => {
    if (isOpen) stderr.write('\r\u001b[K');
    isOpen = false;
  };
  return {
    clear,
    show: (progress: Progress) => {
      const text = describe(progress);
      const now = Date.now();
      if (stderr.isTTY === true) {
        if (phase !== '' && phase !== progress.phase && isOpen) stderr.write('\n');
        stderr.write(`\r\u001b[K${text}`);
        isOpen = true;
      } else if (progress.phase !== phase || now - saidAt > quietMilliseconds) {
        stderr.write(`${text}\n`);
        saidAt = now;
      }
      phase = progress.phase;
    },
  };
}

/** One line of progress: `copying the cluster: 1.2 GiB of 3.4 GiB (35 %), 310 MiB/s, 7 s left`. */
export function describe(progress: Progress): string {
  const { phase, bytes, estimatedBytes, bytesPerSecond, secondsLeft, note } = progress;
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
  if (bytesPerSecond !== undefined && Number.isFinite(bytesPerSecond)) facts.push(`${formatBytes(bytesPerSecond)}/s`);
  if (secondsLeft !== undefined && Number.isFinite(secondsLeft)) facts.push(`${formatSeconds(secondsLeft)} left`);
  if (note !== undefined) facts.push(note);
  return facts.length === 0 ? phase : `${phase}: ${facts.join(', ')}`;
}

/** Bytes for people: `3.4 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? 'B'}`;
}

/** A duration for people: `42 s`, `3 min`, `2 h 5 min`, `3 d`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.round(hours / 24)} d`;
}
