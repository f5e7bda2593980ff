import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onS3, onSftp, openDestination, type DestinationOptions } from '../setup/destinations.ts';

/** Kinds of destinations that the story can be told with. */
export const kinds = ['directory', 'sftp', 's3'] as const;
export type Kind = (typeof kinds)[number];

/** A real server on this machine that takes the repository of the story. */
export interface Server {
  /** What both models are given, secrets in clear. */
  readonly options: DestinationOptions;
  /** Every object with the SHA-256 of its bytes, but for those whose key is like `except`. */
  contents(except: RegExp): Promise<readonly string[]>;
  stop(): Promise<void>;
}

/** Starts it. */
export async function startServer(kind: Exclude<Kind, 'directory'>): Promise<Server> {
  const destinations = await (kind === 'sftp' ? onSftp : onS3)();
  const options = await destinations.add();
  return {
    options,
    contents: async (except) => await contentsOf(options, except),
    stop: destinations.stop,
  };
}

async function contentsOf(options: DestinationOptions, except: RegExp): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'lb-look-'));
  const storage = await openDestination(options, folder);
  const lines: string[] = [];
  try {
    for await (const { key } of storage.list('')) {
      if (except.test(key)) continue;
      const hash = createHash('sha256');
      for await (const chunk of await storage.get(key)) hash.update(chunk);
      lines.push(`${hash.digest('hex')} ${key}`);
    }
  } finally {
    await storage.close();
    await rm(folder, { recursive: true });
  }
  return lines;
}
