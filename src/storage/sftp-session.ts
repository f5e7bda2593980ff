import type { Client, SFTPWrapper, Stats } from 'ssh2';
import { Failure } from '../core/failure.ts';
import { connectSftp, type SftpTarget } from './sftp-connect.ts';
import { isRefusal, sftpCodes, SftpRefusal } from './sftp-failure.ts';

/** Longer than any server that is well needs for one request. */
const requestMs = 60_000;

type Answer<T> = (error: Error | null | undefined, value: T) => void;

/** One connection. Many requests may be under way; when it is lost, all of them fail and it stays lost. */
export class SftpSession {
  readonly #client: Client;
  readonly #sftp: SFTPWrapper;
  readonly #waiting = new Set<(why: Failure) => void>();
  readonly #requestMs: number;
  #lost: Failure | undefined;

  private constructor(client: Client, sftp: SFTPWrapper, timeoutMs: number) {
    this.#client = client;
    this.#sftp = sftp;
    this.#requestMs = timeoutMs;
    client.on('error', (error) => this.#lose(error.message));
    client.on('close', () => this.#lose('the connection was closed'));
    sftp.on('close', () => this.#lose('the server ended SFTP'));
    sftp.on('error', (error: Error) => this.#lose(error.message));
  }

  static async connect(target: SftpTarget, timeoutMs = requestMs): Promise<SftpSession> {
    const { client, sftp } = await connectSftp(target, timeoutMs);
    return new SftpSession(client, sftp, timeoutMs);
  }

  /** The connection is gone: what was asked last may have been done or not. */
  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** Sends one request. Fails with a `SftpRefusal` where the server says no, with `unavailable` where it says nothing. */
  async ask<T>(start: (sftp: SFTPWrapper, done: Answer<T>) => void): Promise<T> {
    if (this.#lost !== undefined) throw this.#lost;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const timer = setTimeout(() => {
      this.#lose(`no answer within ${this.#requestMs / 1000} s`);
    }, this.#requestMs);
    this.#waiting.add(reject);
    try {
      start(this.#sftp, (error, value) => {
        if (error === null || error === undefined) resolve(value);
        else reject(this.#meaning(error));
      });
      return await promise;
    } catch (error) {
      throw error instanceof Error ? this.#meaning(error) : error;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(reject);
    }
  }

  /** The same for a request that has no answer but success. */
  async tell(start: (sftp: SFTPWrapper, done: (error?: Error | null) => void) => void): Promise<void> {
    await this.ask<undefined>((sftp, done) => start(sftp, (error) => done(error, undefined)));
  }

  /** What a path is, following links; `undefined` where there is positively nothing. */
  async stat(path: string): Promise<Stats | undefined> {
    try {
      return await this.ask<Stats>((sftp, done) => sftp.stat(path, done));
    } catch (error) {
      if (isRefusal(error, sftpCodes.noSuchFile)) return undefined;
      throw error;
    }
  }

  /** Makes what was written to an open file durable; `unsupported` where the server has no such request. */
  async sync(handle: Buffer): Promise<'synced' | 'unsupported'> {
    return await this.#optional<'synced'>(async () => {
      await this.ask<unknown>((sftp, done) => sftp.ext_openssh_fsync(handle, done));
      return 'synced';
    });
  }

  /** Gives a file a second name unless that is taken; `unsupported` where the server has no such request. */
  async link(from: string, to: string): Promise<'linked' | 'unsupported'> {
    return await this.#optional<'linked'>(async () => {
      await this.tell((sftp, done) => sftp.ext_openssh_hardlink(from, to, done));
      return 'linked';
    });
  }

  /** What the server says of the file system of a path; `unsupported` where it has no such request. */
  async fileSystem(path: string): Promise<unknown> {
    return await this.#optional<unknown>(async () => {
      return await this.ask<unknown>((sftp, done) => sftp.ext_openssh_statvfs(path, done));
    });
  }

  close(): void {
    this.#lose('closed');
  }

  async #optional<T>(work: () => Promise<T>): Promise<T | 'unsupported'> {
    try {
      return await work();
    } catch (error) {
      if (isRefusal(error, sftpCodes.unsupported)) return 'unsupported';
      throw error;
    }
  }

  #meaning(error: Error): Error {
    if (error instanceof Failure || error instanceof SftpRefusal) return error;
    // The library throws this for a request that the server never announced.
    if (error.message.includes('does not support this extended request')) {
      return new SftpRefusal(sftpCodes.unsupported, error.message);
    }
    const code = 'code' in error ? error.code : undefined;
    if (typeof code === 'number' && code !== 6 && code !== 7) return new SftpRefusal(code, error.message);
    this.#lose(error.message);
    return this.#lost ?? error;
  }

  #lose(why: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = new Failure('unavailable', `the connection to the SFTP server was lost: ${why}`, {
      hint: 'It is made anew with the next try.',
    });
    this.#client.destroy();
    for (const reject of this.#waiting) reject(this.#lost);
  }
}
