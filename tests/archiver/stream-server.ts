import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { newest, readReceived } from '../../src/archiver/stream-folder.ts';
import type { Receiver, StreamLook, StreamSource } from '../../src/archiver/stream-source.ts';
import { segmentName, segmentNumber } from '../../src/core/wal-name.ts';
import { syncDirectory } from '../../src/system/files.ts';
import { mebibyte, segmentBytes } from '../setup/wal-unit.ts';

const stateSchema = z.object({
  /** Where timeline 2 leaves timeline 1; null before a promotion. */
  promotedAt: z.number().nullable(),
  /** Where the server writes, and from where on it keeps WAL for the slot. */
  lsn: z.number(),
  slotLsn: z.number(),
});
export type ServerState = z.infer<typeof stateSchema>;

const historyFile = '00000002.history';

/** What a made-up server has written of a segment; zeros behind it. */
export function written({ promotedAt, lsn }: ServerState, timeline: number, number: number): Buffer {
  const start = number * mebibyte;
  const bytes = segmentBytes({ timeline, number, pageTimeline: 1, fill: `${timeline}/${number} ` });
  if (promotedAt !== null && timeline === 2 && promotedAt > start)
    segmentBytes({ timeline: 1, number, fill: `1/${number} ` }).copy(bytes, 0, 0, promotedAt - start);
  const end = timeline === 1 && promotedAt !== null ? Math.min(promotedAt, lsn) : lsn;
  return bytes.fill(0, Math.max(0, Math.min(mebibyte, end - start)));
}

/** The timeline that a segment is named after. */
export function timelineAt({ promotedAt }: ServerState, number: number): number {
  return promotedAt !== null && number >= Math.floor(promotedAt / mebibyte) ? 2 : 1;
}

/**
 * A server that is only a file: it says where it writes, keeps WAL for one slot, and gives nothing from before that. What
 * receives from it writes as `pg_receivewal` does, and dies with this process.
 */
export class StreamServer {
  readonly #file: string;
  readonly #dataDirectory: string;
  #receiver: AbortController | undefined;

  constructor(root: string, dataDirectory: string) {
    this.#file = join(root, 'server.json');
    this.#dataDirectory = dataDirectory;
  }

  async state(): Promise<ServerState> {
    return stateSchema.parse(JSON.parse(await readFile(this.#file, 'utf8')));
  }

  async become(state: ServerState): Promise<void> {
    await writeFile(`${this.#file}.new`, JSON.stringify(state));
    await rename(`${this.#file}.new`, this.#file);
  }

  /** Brings the server further, as commits do. */
  async write(lsn: number): Promise<void> {
    await this.become({ ...(await this.state()), lsn });
  }

  source(): StreamSource {
    return {
      walFolder: join(this.#dataDirectory, 'pg_wal'),
      dataDirectory: this.#dataDirectory,
      look: async () => await this.#look(),
      receive: async (_slot, folder) => await this.#receive(folder),
    };
  }

  async #look(): Promise<StreamLook> {
    const { promotedAt, lsn, slotLsn } = await this.state();
    return {
      timeline: promotedAt === null ? 1 : 2,
      history: promotedAt === null ? [] : [{ parent: 1, at: BigInt(promotedAt) }],
      lsn: BigInt(lsn),
      segmentSize: mebibyte,
      slotLsn: BigInt(slotLsn),
      why: undefined,
    };
  }

  async #receive(folder: string): Promise<Receiver> {
    this.#receiver?.abort();
    const ending = (this.#receiver = new AbortController());
    const last = newest(await readReceived(folder));
    const state = await this.state();
    const at = last === undefined ? undefined : segmentNumber(last.segment, mebibyte);
    const first =
      last === undefined || at === undefined
        ? {
            timeline: timelineAt(state, Math.floor(state.slotLsn / mebibyte)),
            number: Math.floor(state.slotLsn / mebibyte),
          }
        : { timeline: last.segment.timeline, number: last.isFinished ? at + 1 : at };
    const running = this.#stream(folder, first, ending.signal);
    return {
      ended: running.then(
        () => ({ stderr: '' }),
        (error: unknown) => ({ stderr: String(error) }),
      ),
      kill: () => {
        ending.abort();
      },
    };
  }

  async #stream(folder: string, from: { timeline: number; number: number }, signal: AbortSignal): Promise<void> {
    let { timeline, number } = from;
    const begins = await this.state();
    if (number < Math.floor(begins.slotLsn / mebibyte)) throw new Error(`segment ${number} has already been removed`);
    if (number > Math.floor(begins.lsn / mebibyte)) throw new Error(`segment ${number} is ahead of the server`);
    while (!signal.aborted) {
      const state = await this.state();
      const end = timeline === 1 && state.promotedAt !== null ? Math.min(state.promotedAt, state.lsn) : state.lsn;
      const isWhole = end >= (number + 1) * mebibyte;
      await this.#place(folder, segmentName(timeline, number, mebibyte), written(state, timeline, number), isWhole);
      const flushed = Math.min(end, (number + 1) * mebibyte);
      const now = await this.state();
      await this.become({ ...now, slotLsn: Math.max(now.slotLsn, flushed) });
      if (isWhole) number += 1;
      else if (timeline === 1 && state.promotedAt !== null && end === state.promotedAt) {
        timeline = 2;
        await writeFile(join(folder, historyFile), historyText(state.promotedAt));
      } else await sleep(20);
    }
  }

  /** Writes what is known of a segment, durably, and gives it its name when it is complete. */
  async #place(folder: string, name: string, bytes: Buffer, isWhole: boolean): Promise<void> {
    await mkdir(folder, { recursive: true });
    const path = join(folder, `${name}.partial`);
    const handle = await open(path, 'a').then(async (made) => {
      await made.close();
      return await open(path, 'r+');
    });
    try {
      await handle.truncate(mebibyte);
      await handle.write(bytes, 0, bytes.byteLength, 0);
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (isWhole) await rename(path, join(folder, name));
    await syncDirectory(folder);
  }
}

function historyText(at: number): string {
  return `1\t0/${at.toString(16).toUpperCase()}\tno recovery target specified\n`;
}
