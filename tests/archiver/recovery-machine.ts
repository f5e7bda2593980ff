import type * as fs from 'node:fs';
import type * as promises from 'node:fs/promises';
import type * as timers from 'node:timers/promises';
import { Failure } from '../../src/core/failure.ts';
import type { Wake } from '../../src/archiver/wake.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { asNobody, currentProgram, Program, type HistoryDestination, type Mishap } from './history-destination.ts';

/** What befalls one run of a program at its nth call to the destination, or before its nth change of a file. */
export interface RecoveryMishap {
  readonly at: 'call' | 'file';
  readonly nth: number;
  readonly do: 'die' | 'stall' | 'fill disk' | 'act';
  readonly act: number;
}

/** Time that passes when a history says so. */
export class HistoryTime {
  nowMs = 0;
  readonly #waiting = new Set<{ readonly untilMs: number; readonly resume: () => void }>();

  async wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) return;
    await new Promise<void>((resolve) => {
      const entry = { untilMs: this.nowMs + milliseconds, resume: resolve };
      this.#waiting.add(entry);
      signal?.addEventListener('abort', () => {
        this.#waiting.delete(entry);
        resolve();
      });
    });
  }

  pass(milliseconds: number): void {
    this.nowMs += milliseconds;
    for (const entry of this.#waiting) {
      if (entry.untilMs > this.nowMs) continue;
      this.#waiting.delete(entry);
      entry.resume();
    }
  }
}

/** What the machine is to the programs of a history. */
export interface RecoveryMachine {
  readonly time: HistoryTime;
  /** Nothing can be reached at the moment. */
  isAway: boolean;
  freeBytes: number;
  /** What others do in the middle of something. */
  act(act: number): void;
  /** Waits until what is stalled is released. */
  stall(): Promise<void>;
  /** A program is about to change this, or to make something new of it. */
  changing(by: RecoveryProgram, path: string, takesRoom: boolean): void;
}

/** A run of the prefetcher or of `restore-wal`: its files and its time are the history's, too. Dead, it changes nothing any more. */
export class RecoveryProgram extends Program {
  readonly is: 'prefetch' | 'restore-wal' | 'stream' | 'job' | 'archive-wal';
  /** It waits for time to pass. */
  waits = 0;
  stalled = 0;
  /** What it has marked as coming. */
  readonly coming = new Set<string>();
  readonly machine: RecoveryMachine;
  #mishap: RecoveryMishap | undefined;
  /** Tells it to end, in good order or not. */
  readonly ending = new AbortController();
  #calls = 0;
  #files = 0;

  constructor(
    is: RecoveryProgram['is'],
    machine: RecoveryMachine,
    destination: HistoryDestination,
    fault: Mishap | undefined,
    mishap: RecoveryMishap | undefined,
  ) {
    super(destination, fault);
    this.is = is;
    this.machine = machine;
    this.#mishap = mishap;
    if (fault?.is === 'outage') this.isTroubled = true;
  }

  /** It does nothing but wait for time, or for a destination that does not answer. */
  get isQuiet(): boolean {
    return this.waits > 0 ? this.coming.size === this.stalled : this.stalled > 0 && this.coming.size <= this.stalled;
  }

  /** What was to befall it and has not yet never does: everything is sound from now on. */
  spare(): void {
    this.#mishap = undefined;
  }

  die(): void {
    this.isDead = true;
    this.ending.abort();
  }

  override async call<T>(isPut: boolean, work: (way: Storage) => Promise<T>): Promise<T> {
    if (this.machine.isAway) {
      this.isTroubled = true;
      throw new Failure('unavailable', 'the destination is away');
    }
    this.#calls += 1;
    if (this.#mishap?.at === 'call' && this.#mishap.nth === this.#calls) {
      const { act } = this.#mishap;
      this.isTroubled = true;
      if (this.#mishap.do === 'die') this.die();
      if (this.#mishap.do === 'act') asNobody(() => this.machine.act(act));
      if (this.#mishap.do === 'stall') await this.#stall();
    }
    return await super.call(isPut, work);
  }

  async #stall(): Promise<void> {
    this.stalled += 1;
    await this.machine.stall();
    this.stalled -= 1;
  }

  reads(): void {
    if (this.isDead) throw new Failure('internal', 'this program is dead');
  }

  /** It is about to change something in the file system. */
  changes(path: string, takesRoom: boolean): void {
    this.reads();
    this.#files += 1;
    if (this.#mishap?.at === 'file' && this.#mishap.nth <= this.#files) {
      const mishap = this.#mishap;
      if (mishap.do === 'die') this.die();
      if (mishap.nth === this.#files && mishap.do === 'act') {
        this.isTroubled = true;
        asNobody(() => this.machine.act(mishap.act));
      }
      this.reads();
      if (mishap.do === 'fill disk' && takesRoom && this.#files < mishap.nth + 3) {
        this.isTroubled = true;
        throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
      }
    }
    this.machine.changing(this, path, takesRoom);
  }

  async sleeps(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.is !== 'prefetch' && this.is !== 'stream') {
      // It is what the history waits for.
      this.machine.time.pass(milliseconds);
      await new Promise((resolve) => setImmediate(resolve));
      this.reads();
      return;
    }
    this.waits += 1;
    await this.machine.time.wait(milliseconds, signal);
    this.waits -= 1;
  }
}

function recoveryProgram(): RecoveryProgram | undefined {
  const program = currentProgram();
  return program instanceof RecoveryProgram ? program : undefined;
}

/** The time as the program of a history has it. */
export function timeOfProgram(): number | undefined {
  return recoveryProgram()?.machine.time.nowMs;
}

/** `node:timers/promises` for programs of histories. */
export function timersFor(real: typeof timers): Partial<typeof timers> {
  const sleep: typeof timers.setTimeout = async (milliseconds, value, options) => {
    const program = recoveryProgram();
    if (program === undefined) return await real.setTimeout(milliseconds, value, options);
    await program.sleeps(milliseconds ?? 0, options?.signal);
    return value as never;
  };
  return { ...real, setTimeout: sleep };
}

/** What takes the place of a watched folder: time. */
export function makeHistoryWake(signal: AbortSignal): Wake {
  return {
    look: () => undefined,
    wait: async (milliseconds) => await recoveryProgram()?.sleeps(milliseconds, signal),
    close: () => undefined,
  };
}

type Work = (...args: never[]) => unknown;

/** The same function for the programs of a history: what changes something can fail, and does nothing when they are dead. */
function guarded<F extends Work>(real: F, changed: number | undefined, takesRoom = false): F {
  const guard = (...args: Parameters<F>): unknown => {
    const program = recoveryProgram();
    if (program === undefined) return real(...args);
    if (changed === undefined) program.reads();
    else program.changes(String(args[changed]), takesRoom);
    const answer = real(...args);
    return answer;
  };
  return guard as F;
}

const markPattern = /([0-9A-F]{24})\.coming$/;

/** `node:fs` for programs of histories. */
export function filesFor(real: typeof fs): Partial<typeof fs> {
  const writeFile = guarded(real.writeFileSync, 0, true);
  const unlink = guarded(real.unlinkSync, 0);
  return {
    ...real,
    linkSync: guarded(real.linkSync, 1, true),
    mkdirSync: guarded(real.mkdirSync, 0, true),
    readdirSync: guarded(real.readdirSync, undefined),
    readFileSync: guarded(real.readFileSync, undefined),
    rmSync: guarded(real.rmSync, 0),
    renameSync: guarded(real.renameSync, 1),
    writeFileSync: ((path: string, ...more: [string, object]) => {
      writeFile(path, ...more);
      const mark = markPattern.exec(path)?.[1];
      if (mark !== undefined) recoveryProgram()?.coming.add(mark);
    }) as typeof fs.writeFileSync,
    unlinkSync: (path) => {
      const mark = markPattern.exec(String(path))?.[1];
      if (mark !== undefined) recoveryProgram()?.coming.delete(mark);
      unlink(path);
    },
  };
}

/** `node:fs/promises` for programs of histories; how much room there is, is the history's to say. */
export function asyncFilesFor(real: typeof promises): Partial<typeof promises> {
  const inTurn = <F extends (...args: never[]) => Promise<unknown>>(
    work: F,
    changed: number | undefined,
    room = false,
  ) => {
    const guard = guarded(work, changed, room);
    return (async (...args: Parameters<F>) => await guard(...args)) as F;
  };
  const open: typeof promises.open = async (path, flags, mode) => {
    const program = recoveryProgram();
    if (flags === 'r') program?.reads();
    if (program === undefined || flags === 'r') return await real.open(path, flags, mode);
    program.changes(String(path), true);
    const handle = await real.open(path, flags, mode);
    const write = handle.write.bind(handle);
    const guard = async (...args: Parameters<typeof write>) => {
      program.changes(String(path), true);
      return await write(...args);
    };
    return Object.assign(handle, { write: guard });
  };
  return {
    ...real,
    open,
    mkdir: inTurn(real.mkdir, 0, true),
    readdir: inTurn(real.readdir, undefined),
    readFile: inTurn(real.readFile, undefined),
    rename: inTurn(real.rename, 1),
    rm: inTurn(real.rm, 0),
    unlink: inTurn(real.unlink, 0),
    writeFile: inTurn(real.writeFile, 0, true),
    statfs: (async (path: string) => {
      const program = recoveryProgram();
      if (program === undefined) return await real.statfs(path);
      program.reads();
      await real.stat(path);
      return { bavail: program.machine.freeBytes, bsize: 1 };
    }) as typeof promises.statfs,
  };
}
