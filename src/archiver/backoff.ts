const firstPauseMs = 1000;
const longestPauseMs = 60_000;

/** Pauses between tries that double, from a second to a minute, as long as they fail. */
export class Backoff {
  #pauseMs = 0;
  #until = 0;

  get isOver(): boolean {
    return performance.now() >= this.#until;
  }

  failed(): void {
    this.#pauseMs = Math.min(Math.max(firstPauseMs, this.#pauseMs * 2), longestPauseMs);
    this.#until = performance.now() + this.#pauseMs;
  }

  succeeded(): void {
    this.#pauseMs = 0;
    this.#until = 0;
  }
}
