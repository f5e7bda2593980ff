import type { SftpTarget } from './sftp-connect.ts';
import { SftpSession } from './sftp-session.ts';

/** A way to the server that is kept up: one connection for all, made anew when it was lost. */
export class SftpLink {
  readonly #target: SftpTarget;
  readonly #requestMs: number | undefined;
  #current: Promise<SftpSession> | undefined;

  constructor(target: SftpTarget, requestMs: number | undefined) {
    this.#target = target;
    this.#requestMs = requestMs;
  }

  /** The connection that is up. Fails with what kept it from being made; the next call tries again. */
  async session(): Promise<SftpSession> {
    const current = this.#current;
    const found = await current?.catch(() => undefined);
    if (found !== undefined && !found.isLost) return found;
    // Who else found it lost may have begun to make it anew.
    if (this.#current === current) this.#current = SftpSession.connect(this.#target, this.#requestMs);
    return await (this.#current ?? this.session());
  }

  /** Does what may be done twice, and does it again where the connection was lost meanwhile. */
  async repeat<T>(work: (session: SftpSession) => Promise<T>): Promise<T> {
    const session = await this.session();
    try {
      return await work(session);
    } catch (error) {
      if (!session.isLost) throw error;
      return await work(await this.session());
    }
  }

  async close(): Promise<void> {
    (await this.#current?.catch(() => undefined))?.close();
    this.#current = undefined;
  }
}
