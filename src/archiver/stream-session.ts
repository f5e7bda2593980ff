import { dirname } from 'node:path';
import { Failure } from '../core/failure.ts';
import { within } from '../system/deadline.ts';
import { readOwnerState, readPin, readSettings, type UnitFolder } from '../system/home.ts';
import { checkOwnership, checkServer } from './archive-wal.ts';
import { KeptStorage } from './kept-storage.ts';
import { openExpected } from './open-expected.ts';
import type { StoreSession } from './push-wal.ts';

const openLimitMs = 30_000;

/** The connection of a stream to its destination, kept as long as nothing about it changes. */
export class StreamDestination {
  readonly #unit: UnitFolder;
  readonly #storage = new KeptStorage();

  constructor(unit: UnitFolder) {
    this.#unit = unit;
  }

  /**
   * Proves anew whose everything is, and gives what storing takes. `undefined` where this unit owns another incarnation than
   * the stream's. Fails as `archiveWal` does.
   */
  async session(incarnation: number, dataDirectory: string): Promise<StoreSession | undefined> {
    return await within(openLimitMs, 'opening the repository', this.#session(incarnation, dataDirectory));
  }

  async #session(incarnation: number, dataDirectory: string): Promise<StoreSession | undefined> {
    const owner = await readOwnerState(this.#unit);
    const pin = await readPin(this.#unit);
    if (owner?.incarnation !== incarnation || pin === undefined) return undefined;
    const settings = await readSettings(dirname(this.#unit.path));
    const { destination, access, second, encryption, compressionLevel } = settings;
    if (destination === undefined) throw new Failure('settings', 'the option destination is empty');
    await checkServer(this.#unit, dataDirectory);
    const storage = await this.#storage.storage({ destination, access, second, privateFolder: this.#unit.path });
    const repository = await openExpected(storage, pin.repositoryId, encryption);
    await checkOwnership(repository, owner);
    return { repository, owner, level: compressionLevel, step: () => undefined };
  }

  close(): void {
    this.#storage.close();
  }
}
