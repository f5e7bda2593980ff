import type { WalName } from '../core/wal-name.ts';
import type { Stored } from '../repository/wal-store.ts';

/** WAL files to be pushed, oldest first, and how many of them at once. */
export interface Waiting {
  readonly names: readonly WalName[];
  readonly atOnce: number;
}

/** A queue that may grow while it is worked on. */
export interface PushQueue {
  readonly first: Waiting;
  /**
   * Asked for what comes next when all is begun that was known, and again whenever one of those under way has ended; without
   * names there is nothing more at the moment. Told what is under way and how many were stored.
   */
  readonly more: (underWay: ReadonlySet<string>, stored: number) => Promise<Waiting>;
  readonly push: (name: WalName) => Promise<Stored | 'changed'>;
  readonly signal: AbortSignal;
}

/** How a queue was worked on. */
interface Pushed {
  readonly stored: number;
  /** What the oldest one failed with that did; without a name when asking for more did. */
  readonly failure: { readonly name: string | undefined; readonly error: unknown } | undefined;
}

/**
 * Pushes several at once, begun in order. What comes next is asked for while the last ones are still under way: if each few
 * dozen waited for the slowest of them, cores and connections would have nothing to do for as long.
 *
 * After a failure nothing more is begun, and after a file that changed nothing more is asked for: it would come again at once.
 * Resolves when nothing is under way any more.
 */
export async function pushQueue({ first, more, push, signal }: PushQueue): Promise<Pushed> {
  const underWay = new Map<string, Promise<void>>();
  const failures: { readonly name: string | undefined; readonly error: unknown; readonly order: number }[] = [];
  let begun = 0;
  let stored = 0;
  let hasChanged = false;
  const begin = (name: WalName) => {
    const order = (begun += 1);
    const ending = (end: Stored | 'changed') => {
      if (end === 'changed') hasChanged = true;
      else stored += 1;
    };
    const failed = (error: unknown) => {
      failures.push({ name: name.name, error, order });
    };
    const pushing = push(name)
      .then(ending, failed)
      .finally(() => underWay.delete(name.name));
    underWay.set(name.name, pushing);
  };
  const mayBegin = () => failures.length === 0 && !signal.aborted;
  let { names, atOnce } = first;
  let next = 0;
  let isDry = false;
  for (;;) {
    const name = names[next];
    if (mayBegin() && name !== undefined && underWay.size < atOnce) {
      next += 1;
      begin(name);
    } else if (mayBegin() && name === undefined && !isDry && !hasChanged) {
      try {
        ({ names, atOnce } = await more(new Set(underWay.keys()), stored));
        next = 0;
        isDry = names.length === 0;
      } catch (error) {
        failures.push({ name: undefined, error, order: Infinity });
      }
    } else if (underWay.size > 0) {
      await Promise.race(underWay.values());
      isDry = false;
    } else {
      break;
    }
  }
  return { stored, failure: failures.sort((a, b) => a.order - b.order)[0] };
}
