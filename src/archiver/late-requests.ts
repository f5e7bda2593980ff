import { toFailure, type Failure } from '../core/failure.ts';
import { within } from '../system/deadline.ts';
import { archiveLimitMs } from './archive-wal.ts';

/**
 * Waits for a destination as long as PostgreSQL's own call would. A request that comes too late can't be taken back, and
 * another one would only wait behind it.
 */
export class LateRequests {
  /** What is under way or was not awaited any more. */
  #open = 0;
  #tooLate: Failure | undefined;

  /** Fails as the request did that was given up, as long as it has not ended. */
  refuse(): void {
    if (this.#open > 0 && this.#tooLate !== undefined) throw this.#tooLate;
  }

  /** Awaits a request; `what` names it in the `unavailable` failure of one that takes too long. */
  async bounded<T>(what: string, work: Promise<T>): Promise<T> {
    this.#open += 1;
    let isSettled = false;
    const settled = () => {
      this.#open -= 1;
      isSettled = true;
    };
    work.then(settled, settled);
    try {
      return await within(archiveLimitMs, what, work);
    } catch (error) {
      if (!isSettled) this.#tooLate = toFailure(error);
      throw error;
    }
  }
}
