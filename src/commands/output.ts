import type { Writable } from 'node:stream';
import { exitCodes, type Failure } from '../core/failure.ts';
import { stepText } from '../core/job-text.ts';
import type { JobProgress } from '../jobs/job-progress.ts';

/** How a command tells its result: for people, for programs, or for a program that shows it to people (`{"text", "json"}`). */
export const formats = ['text', 'json', 'both'] as const;
export type Format = (typeof formats)[number];

/** What a command came to: the same facts for people and for programs. `json` has the shape documented in the README. */
export interface Result {
  readonly text: string;
  readonly json: Readonly<Record<string, unknown>>;
  /** The exit code, when the command did its work and what it found is bad (`check`, `status`); 0 unless given. */
  readonly exitCode?: number;
}

/** Where a command speaks: its result to stdout, all else to stderr. */
export interface Output {
  result(result: Result): void;
  failure(failure: Failure): void;
  progress(progress: JobProgress): void;
}

/** Makes the output of one run of the command. On a terminal progress is one line that is written over. */
export function makeOutput(format: Format, stdout: Writable, stderr: Writable & { isTTY?: boolean }): Output {
  const line = progressLine(stderr);
  return {
    result: ({ text, json }) => {
      line.clear();
      const told = { text: `${text.trimEnd()}\n`, json: `${JSON.stringify(json)}\n` };
      stdout.write(format === 'both' ? `${JSON.stringify({ text, json })}\n` : told[format]);
    },
    failure: (failure) => {
      line.clear();
      if (format !== 'text') {
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
      if (format !== 'text') stderr.write(`${JSON.stringify({ progress })}\n`);
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
    show: (progress: JobProgress) => {
      const text = stepText(progress);
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
