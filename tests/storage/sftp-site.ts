import { execa } from 'execa';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SftpAccess } from '../../src/core/destination-access.ts';
import { openSftp } from '../../src/storage/sftp.ts';
import type { Storage } from '../../src/storage/storage.ts';
import type { Sshd } from '../setup/sshd.ts';

/** An empty folder of an SFTP server as a destination. */
export interface SftpSite {
  readonly path: string;
  /** Opens it, through a proxy where a port is given. */
  open(more?: { port?: number; requestMs?: number; access?: SftpAccess }): Promise<Storage>;
  destroy(): Promise<void>;
}

/** Makes one, of the user that the server lets in. */
export async function sftpSite(server: Sshd): Promise<SftpSite> {
  const path = await mkdtemp(join(server.folder, 'site-'));
  const privateFolder = `${path}.private`;
  await mkdir(privateFolder);
  await chmod(path, 0o750);
  if (process.getuid?.() === 0) await execa('chown', ['postgres:', path]);
  return {
    path,
    open: async ({ port, requestMs, access = server.access() } = {}) =>
      await openSftp(server.destination(path, port), {
        isShared: (folder) => /^shared(\/|$)/.test(folder),
        access,
        privateFolder,
        ...(requestMs === undefined ? {} : { requestMs }),
      }),
    destroy: async () => {
      await rm(path, { recursive: true, force: true });
      await rm(privateFolder, { recursive: true, force: true });
    },
  };
}
