import { toFailure } from '../core/failure.ts';

/** Does several things at once, so many at most; after the first failure nothing more is begun. */
export class AtOnce {
  readonly #most: number;
  readonly #underWay = new Set<Promise<void>>();
  #error: Error | undefined;

  constructor(most: number) {
    this.#most = most;
  }

  /** Begins a piece of work as soon as there is room. Fails with what an earlier piece failed with. */
  async begin(work: () => Promise<void>): Promise<void> {
    while (this.#underWay.size >= this.#most) await Promise.race(this.#underWay);
    this.#failIfFailed();
    const done = work()
      .catch((error: unknown) => {
        this.#error ??= error instanceof Error ? error : toFailure(error);
      })
      .finally(() => this.#underWay.delete(done));
    this.#underWay.add(done);
  }

  /** Waits for everything that was begun. */
  async end(): Promise<void> {
    await Promise.all(this.#underWay);
    this.#failIfFailed();
  }

  #failIfFailed(): void {
    if (this.#error !== undefined) throw this.#error;
  }
}
