import { isSameAccess } from '../core/destination-access.ts';
import type { Storage } from '../storage/storage.ts';
import { openAt, type ExpectedAt } from './open-expected.ts';

type At = Omit<ExpectedAt, 'encryption'>;

/** A destination that stays open as long as it is the same, and how to get in there. */
export class KeptStorage {
  #open: { readonly at: At; readonly storage: Storage } | undefined;

  /** Opens it, unless it is open. */
  async storage(at: At): Promise<Storage> {
    const { at: open, storage } = this.#open ?? {};
    if (open?.destination.url === at.destination.url && storage !== undefined && isSameAccess(open.access, at.access)) {
      return storage;
    }
    this.close();
    this.#open = { at, storage: await openAt(at) };
    return this.#open.storage;
  }

  close(): void {
    this.#open?.storage.close().catch(() => undefined); // It is given up; what it says to that changes nothing.
    this.#open = undefined;
  }
}
