import { isSamePlaces } from '../repository/open-destinations.ts';
import type { Storage } from '../storage/storage.ts';
import { openAt, type ExpectedAt } from './open-expected.ts';

type At = Omit<ExpectedAt, 'encryption'>;

/** A destination that stays open as long as it is the same, and how to get in there. */
export class KeptStorage {
  #open: { readonly at: At; readonly storage: Storage } | undefined;

  /** Tells whether it is this one that is open. */
  isOpen(at: At): boolean {
    return this.#open !== undefined && isSamePlaces(this.#open.at, at);
  }

  /** Opens it, unless it is open. */
  async storage(at: At): Promise<Storage> {
    if (this.#open !== undefined && this.isOpen(at)) return this.#open.storage;
    this.close();
    this.#open = { at, storage: await openAt(at) };
    return this.#open.storage;
  }

  close(): void {
    this.#open?.storage.close().catch(() => undefined); // It is given up; what it says to that changes nothing.
    this.#open = undefined;
  }
}
