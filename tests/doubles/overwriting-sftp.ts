import { closeSync, fstatSync, openSync, renameSync, statSync, unlinkSync, writeSync } from 'node:fs';
import ssh2, { type Attributes, type SFTPWrapper } from 'ssh2';

/** An SFTP server without extensions whose rename overwrites, against the protocol, as some do. It knows what a put needs. */
export interface OverwritingSftp {
  readonly port: number;
  stop(): Promise<void>;
}

/** Starts one that lets everybody in. */
export async function startOverwritingSftp(hostKey: string): Promise<OverwritingSftp> {
  const server = new ssh2.Server({ hostKeys: [hostKey] }, (client) => {
    client.on('error', () => undefined);
    client.on('authentication', (context) => context.accept());
    client.on('session', (accept) => {
      accept().on('sftp', (acceptSftp) => serve(acceptSftp()));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: address !== null && typeof address === 'object' ? address.port : 0,
    stop: async () => await new Promise((resolve) => server.close(() => resolve())),
  };
}

const { STATUS_CODE } = ssh2.utils.sftp;

function serve(sftp: SFTPWrapper): void {
  const answer = (id: number, work: () => void) => {
    try {
      work();
      sftp.status(id, STATUS_CODE.OK);
    } catch (error) {
      const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      sftp.status(id, isMissing ? STATUS_CODE.NO_SUCH_FILE : STATUS_CODE.FAILURE);
    }
  };
  const describe = (id: number, look: () => Attributes) => {
    try {
      sftp.attrs(id, look());
    } catch {
      sftp.status(id, STATUS_CODE.NO_SUCH_FILE);
    }
  };
  const fdOf = (handle: Buffer) => handle.readUInt32BE(0);
  sftp.on('OPEN', (id, path) => {
    try {
      const handle = Buffer.alloc(4);
      handle.writeUInt32BE(openSync(path, 'wx', 0o640));
      sftp.handle(id, handle);
    } catch {
      sftp.status(id, STATUS_CODE.FAILURE);
    }
  });
  sftp.on('WRITE', (id, handle, offset, data) =>
    answer(id, () => writeSync(fdOf(handle), data, 0, data.length, offset)),
  );
  sftp.on('CLOSE', (id, handle) => answer(id, () => closeSync(fdOf(handle))));
  sftp.on('REMOVE', (id, path) => answer(id, () => unlinkSync(path)));
  sftp.on('RENAME', (id, from, to) => answer(id, () => renameSync(from, to)));
  sftp.on('STAT', (id, path) => describe(id, () => attributesOf(statSync(path))));
  sftp.on('FSTAT', (id, handle) => describe(id, () => attributesOf(fstatSync(fdOf(handle)))));
}

function attributesOf({ mode, uid, gid, size, atimeMs, mtimeMs }: ReturnType<typeof statSync> & object): Attributes {
  const seconds = (milliseconds: number | bigint) => Math.floor(Number(milliseconds) / 1000);
  return {
    mode: Number(mode),
    uid: Number(uid),
    gid: Number(gid),
    size: Number(size),
    atime: seconds(atimeMs),
    mtime: seconds(mtimeMs),
  };
}
