import { readOwnerState } from '../system/home.ts';
import { streamFolder } from '../system/stream-marker.ts';
import { Backoff } from './backoff.ts';
import { newest, readReceived } from './stream-folder.ts';
import { StreamPush } from './stream-push.ts';
import { StreamDestination } from './stream-session.ts';
import type { ResidentStream } from './stream-source.ts';

/** What was received before the stream ended, as on a primary that has become a standby, and is not stored yet. */
export class Leftovers {
  readonly #with: Pick<ResidentStream, 'unit' | 'source' | 'step'>;
  readonly #pause = new Backoff();

  constructor(stream: Pick<ResidentStream, 'unit' | 'source' | 'step'>) {
    this.#with = stream;
  }

  /** Stores it and removes it. Call it while nobody receives. */
  async store(): Promise<void> {
    const { unit, source, step } = this.#with;
    if (!this.#pause.isOver) return;
    const owner = await readOwnerState(unit);
    if (owner === undefined) return;
    const folder = streamFolder(unit, owner.incarnation);
    if (newest(await readReceived(folder)) === undefined) return;
    const destination = new StreamDestination(unit);
    try {
      const session = await destination.session(owner.incarnation, (await source()).dataDirectory);
      if (session !== undefined) await new StreamPush(folder, step).retire(session);
      this.#pause.succeeded();
    } catch (error) {
      this.#pause.failed();
      throw error;
    } finally {
      destination.close();
    }
  }
}
