import { dump, load } from 'js-yaml';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { parseSettings } from '../../src/core/settings.ts';
import { isSharedFolder } from '../../src/repository/layout.ts';
import { openStorage } from '../../src/storage/open.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { settingsFile } from '../../src/system/home.ts';
import { makeBucket } from '../storage/s3-site.ts';
import { encryptionOptions, newAgeKey } from './age.ts';
import { startCeph } from './ceph.ts';
import { startSshd } from './sshd.ts';

/** The options that name a destination and get in there, secrets in clear: `destination` and what its kind needs. */
export type DestinationOptions = Readonly<Record<string, string>>;

/** A server of a test, or the disk, with room for destinations that know nothing of each other. */
export interface Destinations {
  readonly name: string;
  /** Where its server listens on loopback; the disk has none. */
  readonly port: number | undefined;
  /** Stops the server, and starts it again as it was; a disk has none. */
  readonly server: { halt(): Promise<void>; resume(): Promise<void> } | undefined;
  /** An empty one more, reached through a proxy where a port is given. */
  add(through?: number): Promise<DestinationOptions>;
  stop(): Promise<void>;
}

/** Starts what a kind of destination needs. */
export type StartDestinations = () => Promise<Destinations>;

/** Directories of this machine. */
export const onDisk: StartDestinations = async () => {
  const root = await mkdtemp(join(tmpdir(), 'lb-disk-'));
  return {
    name: 'a directory',
    port: undefined,
    server: undefined,
    add: async () => {
      const path = await mkdtemp(join(root, 'at-'));
      await chmod(path, 0o2770);
      return { destination: `file://${path}` };
    },
    stop: async () => {
      await rm(root, { recursive: true, force: true });
    },
  };
};

/** A real OpenSSH server. */
export const onSftp: StartDestinations = async () => {
  const server = await startSshd();
  let made = 0;
  return {
    name: 'an SFTP server',
    port: server.port,
    server,
    add: async (through) => {
      const path = join(server.folder, `at-${(made += 1)}`);
      await mkdir(path);
      if (process.getuid?.() === 0) await server.own(path);
      return server.options(path, through);
    },
    stop: server.stop,
  };
};

/** A real Ceph with its gateway; for long tests, whose packages it is among. */
export const onS3: StartDestinations = async () => {
  const ceph = await startCeph();
  (await makeBucket(ceph, 'backups')).destroy();
  let made = 0;
  return {
    name: "Ceph's S3 gateway",
    port: ceph.port,
    server: ceph,
    add: async (through = ceph.port) => ({
      destination: `s3://backups/at-${(made += 1)}`,
      ...ceph.options,
      's3-endpoint': `http://127.0.0.1:${through}`,
    }),
    stop: ceph.stop,
  };
};

/** The same with repositories that are encrypted, and the identity in the settings: who tells the story opens what is stored. */
export function encrypted(start: StartDestinations): StartDestinations {
  return async () => {
    const destinations = await start();
    const key = newAgeKey();
    return {
      ...destinations,
      add: async (through) => ({ ...(await destinations.add(through)), ...encryptionOptions([key], [key]) }),
    };
  };
}

/** Opens a destination as our programs do. */
export async function openDestination(options: DestinationOptions, privateFolder: string): Promise<Storage> {
  const { destination, access } = parseSettings(options);
  if (destination === undefined) throw new Error('the options name no destination');
  return await openStorage(destination, {
    isShared: isSharedFolder,
    access,
    reread: async () => access,
    privateFolder,
  });
}

/** Writes them into a home's settings, readable by nobody but this process's user and group: they hold secrets. */
export async function writeDestination(home: string, options: DestinationOptions): Promise<void> {
  await writeFile(settingsFile(home), dump(options), { mode: 0o640 });
}

/** Reads what `writeDestination` wrote. */
export async function readDestination(home: string): Promise<DestinationOptions> {
  return z.record(z.string(), z.string()).parse(load(await readFile(settingsFile(home), 'utf8')));
}
