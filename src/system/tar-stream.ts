import { Failure } from '../core/failure.ts';
import { readTarExtension, readTarHeader, tarBlock, tarPadding, type TarMember } from './tar-header.ts';

/** What a tar is told to, member by member; it waits for each call. */
export interface TarSink {
  begin(member: TarMember): Promise<void>;
  /** A stretch of the contents of the member that began last. The bytes may be kept; nobody writes into them. */
  data(bytes: Buffer): Promise<void>;
  end(): Promise<void>;
}

/** Names are not longer than this together, whoever made them. */
const extensionLimit = 1024 * 1024;

/**
 * Reads a tar to its end and tells what is in it. Contents are passed on as they come, without a copy.
 *
 * Fails with `damaged` for a tar that is cut off; bytes after its end must be zeros, as `tar` itself pads them.
 */
export async function readTar(body: AsyncIterable<Buffer>, sink: TarSink): Promise<void> {
  let header: Buffer = Buffer.alloc(0);
  let contents = 0;
  let padding = 0;
  let isOver = false;
  let extension: Buffer[] | undefined;
  let extended: ReadonlyMap<string, string> = new Map();
  for await (const chunk of body) {
    let at = 0;
    while (at < chunk.length) {
      if (contents > 0) {
        const some = chunk.subarray(at, at + contents);
        if (extension === undefined) await sink.data(some);
        else extension.push(some);
        contents -= some.length;
        at += some.length;
        if (contents > 0) continue;
        if (extension === undefined) await sink.end();
        else extended = readTarExtension(Buffer.concat(extension));
        extension = undefined;
      } else if (padding > 0) {
        const skipped = Math.min(padding, chunk.length - at);
        padding -= skipped;
        at += skipped;
      } else {
        const some = chunk.subarray(at, at + tarBlock - header.length);
        header = header.length === 0 ? some : Buffer.concat([header, some]);
        at += some.length;
        if (header.length < tarBlock) continue;
        const member = readTarHeader(header, extended);
        header = Buffer.alloc(0);
        if (isOver && member !== undefined) throw new Failure('damaged', 'the tar of the backup goes on after its end');
        isOver ||= member === undefined;
        if (member === undefined) continue;
        if (member.kind === 'extension') {
          if (member.sizeBytes === 0 || member.sizeBytes > extensionLimit)
            throw new Failure('damaged', `the tar has an extended header of ${member.sizeBytes} bytes`);
          extension = [];
          contents = member.sizeBytes;
          padding = tarPadding(member.sizeBytes);
          continue;
        }
        extended = new Map();
        await sink.begin(member);
        contents = member.sizeBytes;
        padding = tarPadding(member.sizeBytes);
        if (contents === 0) await sink.end();
      }
    }
  }
  if (isOver && header.length === 0) return;
  throw new Failure('damaged', 'the tar of the backup is cut off', {
    hint: 'Restore from another backup: landscape-backup list-backups.',
  });
}
