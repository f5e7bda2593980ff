import { redact } from './secret.ts';

/**
 * What can go wrong, as a closed set. Exit codes and statuses are chosen from the kind, never from the text.
 *
 * - `usage`: the command line is wrong
 * - `settings`: an option's value breaks its rule
 * - `refused`: a guard said no; nothing was changed
 * - `unavailable`: the destination can't be reached or used at the moment; it may pass
 * - `missing`: positively not there
 * - `damaged`: there, but its bytes are not what was stored
 * - `conflict`: the name is taken by other bytes
 * - `busy`: another job holds what this one needs
 * - `postgres`: PostgreSQL said no or stopped
 * - `machine`: this machine lacks room, a right or a program
 * - `internal`: our own fault
 */
export type FailureKind =
  | 'usage'
  | 'settings'
  | 'refused'
  | 'unavailable'
  | 'missing'
  | 'damaged'
  | 'conflict'
  | 'busy'
  | 'postgres'
  | 'machine'
  | 'internal';

/** The documented exit codes of `landscape-backup`; 0 is success. */
export const exitCodes: Readonly<Record<FailureKind, number>> = {
  internal: 1,
  usage: 2,
  settings: 3,
  refused: 4,
  unavailable: 5,
  missing: 6,
  damaged: 7,
  conflict: 8,
  busy: 9,
  postgres: 10,
  machine: 11,
};

/**
 * The one error class.
 *
 * `message` says what happened to what, lower case, with values; `hint` says what the reader can do. Secrets that
 * this process knows are taken out of both.
 */
export class Failure extends Error {
  readonly kind: FailureKind;
  readonly hint: string | undefined;

  constructor(kind: FailureKind, message: string, options: { hint?: string | undefined; cause?: unknown } = {}) {
    super(redact(message), 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'Failure';
    this.kind = kind;
    this.hint = options.hint === undefined ? undefined : redact(options.hint);
  }
}

/** Tells whether an error is a failure of one of these kinds. */
export function isFailure(error: unknown, ...kinds: readonly FailureKind[]): error is Failure {
  return error instanceof Failure && (kinds.length === 0 || kinds.includes(error.kind));
}

/** Tells whether a failure can pass by itself. What can't waits for somebody to do what its hint says. */
export function canPass({ kind }: Failure): boolean {
  return !['usage', 'settings', 'refused', 'missing', 'damaged', 'conflict'].includes(kind);
}

/** Makes a failure of anything that was thrown; what is none already is our own fault. */
export function toFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new Failure('internal', text, {
    hint: 'This is a fault in landscape-backup: please report it with the output of the command.',
    cause: error,
  });
}
