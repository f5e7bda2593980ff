import { execa } from 'execa';
import { chmod, cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { runResident } from '../../src/archiver/resident.ts';
import type { WalSteps } from '../../src/archiver/wal-steps.ts';
import { readWal, walKeyIn } from '../../src/repository/wal-store.ts';
import { machineClock } from '../../src/system/clock.ts';
import { markOf } from '../../src/system/process-mark.ts';
import { until } from '../setup/wait.ts';
import { makeWalUnit, segmentBytes, type SegmentFacts, type WalUnit } from '../setup/wal-unit.ts';

/** What a call of the front came to: with the acknowledgement alone, or through the program. */
interface Called {
  readonly exitCode: number | undefined;
  readonly askedProgram: boolean;
  readonly seconds: number;
}

/** A made-up unit with the queue that PostgreSQL keeps, and the front with a program that only says that it was asked. */
export interface ResidentUnit extends WalUnit {
  readonly spool: string;
  /** Writes a segment and marks it as ready. */
  ready(facts: SegmentFacts): Promise<string>;
  markReady(name: string): Promise<void>;
  /** What PostgreSQL does when a call said 0. */
  done(name: string): Promise<void>;
  /** Runs an archiver in this process until `stop`. */
  start(step?: WalSteps): Promise<{ readonly sentences: readonly string[]; stop(): Promise<void> }>;
  /** Runs one in a process of its own that kills itself at this step; gives back the signal that ended it. */
  startAndDie(step: string): Promise<string | undefined>;
  call(name: string, options?: { readonly cwd?: string; readonly path?: string }): Promise<Called>;
  stored(name: string): Promise<Buffer>;
  /** The names that have an acknowledgement, in order. */
  acknowledged(): Promise<readonly string[]>;
  untilAcknowledged(names: readonly string[]): Promise<void>;
}

/** Makes one. */
export async function makeResidentUnit(encryption?: Readonly<Record<string, string>>): Promise<ResidentUnit> {
  const at = await makeWalUnit(encryption);
  const status = join(at.dataDirectory, 'pg_wal', 'archive_status');
  await mkdir(status);
  const bin = join(at.root, 'runtime', 'bin');
  await mkdir(bin, { recursive: true });
  await cp(join(import.meta.dirname, '..', '..', 'charm', 'bin', 'archive-wal'), join(bin, 'archive-wal'));
  const asked = join(at.root, 'asked');
  await writeFile(join(bin, 'node'), `#!/bin/sh\n: >'${asked}'\nexit 7\n`);
  for (const program of ['archive-wal', 'node']) await chmod(join(bin, program), 0o755);
  const spool = join(at.unit.spool, 'archive');
  const acknowledged = async () => {
    const files = await readdir(spool, { recursive: true }).catch(() => []);
    return files.flatMap((file) => /^([0-9A-F].*)\.hi$/.exec(basename(file))?.[1] ?? []).sort();
  };
  const markReady = async (name: string) => {
    await writeFile(join(status, `${name}.ready`), '');
  };
  return {
    ...at,
    spool,
    ready: async (facts) => {
      const { name } = await at.segment(facts);
      await markReady(name);
      return name;
    },
    markReady,
    done: async (name) => {
      await rename(join(status, `${name}.ready`), join(status, `${name}.done`));
    },
    start: async (step = () => undefined) => {
      const mark = await markOf(process.pid);
      if (mark === undefined) throw new Error('this process has no mark');
      const stopping = new AbortController();
      const sentences: string[] = [];
      const running = runResident({
        unit: at.unit,
        dataDirectory: () => Promise.resolve(at.dataDirectory),
        mark,
        clock: machineClock,
        signal: stopping.signal,
        step,
        alive: () => undefined,
        say: (sentence) => sentences.push(sentence),
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
      const child = join(import.meta.dirname, 'resident-child.ts');
      const args = [child, at.unit.path, at.dataDirectory, step];
      return (await execa(process.execPath, args, { reject: false, timeout: 30_000 })).signal;
    },
    call: async (name, { cwd = at.dataDirectory, path = join('pg_wal', name) } = {}) => {
      await rm(asked, { force: true });
      const began = performance.now();
      const { exitCode } = await execa(join(bin, 'archive-wal'), [at.unit.path, path, name], { cwd, reject: false });
      const seconds = (performance.now() - began) / 1000;
      const askedProgram = await readFile(asked).then(
        () => true,
        () => false,
      );
      return { exitCode, askedProgram, seconds };
    },
    stored: async (name) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of readWal(at.repository, walKeyIn(at.repository, at.place, name))) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
    acknowledged,
    untilAcknowledged: async (names) => {
      const isSo = async () => {
        const known = await acknowledged();
        return names.every((name) => known.includes(name));
      };
      await until(`${names.slice(0, 5).join(', ')} of ${names.length} are acknowledged`, isSo, 110);
    },
  };
}

/** What the front says when the acknowledgement is enough, and when it is none. */
export const byAcknowledgement = { exitCode: 0, askedProgram: false };
export const byProgram = { exitCode: 1, askedProgram: true };

/** Tells whether a segment is stored with the bytes that `segmentBytes` makes. */
export async function isStored(at: ResidentUnit, name: string, facts: SegmentFacts): Promise<boolean> {
  return (await at.stored(name)).equals(segmentBytes(facts));
}
