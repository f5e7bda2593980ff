import { execa } from 'execa';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runStream } from '../../src/archiver/stream.ts';
import type { StreamSteps } from '../../src/archiver/wal-steps.ts';
import { isFailure } from '../../src/core/failure.ts';
import { readWalName, segmentName } from '../../src/core/wal-name.ts';
import { walKey } from '../../src/repository/layout.ts';
import { listParts, readPart } from '../../src/repository/wal-parts.ts';
import { readWal } from '../../src/repository/wal-store.ts';
import { machineClock } from '../../src/system/clock.ts';
import { errorCode } from '../../src/system/files.ts';
import { streamFolder, writeStreamMarker } from '../../src/system/stream-marker.ts';
import { makeWalUnit, mebibyte, type WalUnit } from '../setup/wal-unit.ts';
import { StreamServer, timelineAt, written, type ServerState } from './stream-server.ts';

/** A made-up unit whose WAL comes from a made-up server by a stream. */
export interface StreamUnit extends WalUnit {
  readonly server: StreamServer;
  readonly folder: string;
  /** Says that there is a slot, as a job does. */
  mark(): Promise<void>;
  /** Streams in this process until `stop`. */
  start(step?: StreamSteps): { readonly sentences: readonly string[]; stop(): Promise<void> };
  /** Streams in a process of its own that kills itself at this step; gives back the signal that ended it. */
  startAndDie(step: string): Promise<string | undefined>;
  /** The segments from this one on that are neither stored nor received as the server wrote them, up to an LSN. */
  missing(first: number, below: number, where: 'stored' | 'anywhere'): Promise<readonly string[]>;
}

/** Makes one. */
export async function makeStreamUnit(state: ServerState): Promise<StreamUnit> {
  const at = await makeWalUnit();
  const server = new StreamServer(at.root, at.dataDirectory);
  await server.become(state);
  const folder = streamFolder(at.unit, at.place.incarnation);
  return {
    ...at,
    server,
    folder,
    mark: async () => {
      await writeStreamMarker(at.unit, { format: 1, slot: 'test', incarnation: at.place.incarnation, until: null });
    },
    start: (step = () => undefined) => {
      const stopping = new AbortController();
      const sentences: string[] = [];
      const running = runStream({
        unit: at.unit,
        clock: machineClock,
        signal: stopping.signal,
        step,
        say: (sentence) => sentences.push(sentence),
        source: () => Promise.resolve(server.source()),
      });
      return {
        sentences,
        stop: async () => {
          stopping.abort();
          await running;
        },
      };
    },
    startAndDie: async (step) => {
      const args = [join(import.meta.dirname, 'stream-child.ts'), at.unit.path, at.root, at.dataDirectory, step];
      return (await execa(process.execPath, args, { reject: false, timeout: 100_000 })).signal;
    },
    missing: async (first, below, where) => {
      const now = await server.state();
      const missing: string[] = [];
      for (let number = first; number * mebibyte < below; number += 1) {
        const known = below - number * mebibyte;
        const name = segmentName(timelineAt(now, number), number, mebibyte);
        const bytes = written(now, timelineAt(now, number), number).subarray(0, Math.min(known, mebibyte));
        const found = [await stored(at, name)];
        if (where === 'anywhere') found.push(await received(folder, name), await received(folder, `${name}.partial`));
        if (!found.some((each) => each?.subarray(0, bytes.byteLength).equals(bytes))) missing.push(name);
      }
      return missing;
    },
  };
}

/** A stored segment, or the longest part of it, with zeros behind that. */
async function stored({ repository, place }: WalUnit, name: string): Promise<Buffer | undefined> {
  try {
    return await collect(readWal(repository, walKey(place, name)));
  } catch (error) {
    if (!isFailure(error, 'missing')) throw error;
  }
  const wal = readWalName(name);
  const length = wal?.kind === 'segment' ? (await listParts(repository, place, wal)).at(-1) : undefined;
  if (length === undefined) return undefined;
  return await collect(readPart(repository, place, { name, length, segmentSize: mebibyte }));
}

async function received(folder: string, file: string): Promise<Buffer | undefined> {
  return await readFile(join(folder, file)).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
