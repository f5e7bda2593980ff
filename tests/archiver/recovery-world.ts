import {
  linkSync,
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { dump } from 'js-yaml';
import { runPrefetch } from '../../src/archiver/prefetch.ts';
import { prefetchFolder } from '../../src/archiver/prefetch-spool.ts';
import { restoreWal, servePlanFile } from '../../src/archiver/restore-wal.ts';
import { servePlanSchema } from '../../src/core/restore-service.ts';
import { readWalName } from '../../src/core/wal-name.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import { createRepository, type Repository } from '../../src/repository/repository.ts';
import { writeJson } from '../../src/system/files.ts';
import { pinSchema, settingsFile, unitFolder, writeOwnerState, type UnitFolder } from '../../src/system/home.ts';
import { testIdentifier, testOwner } from '../setup/wal-unit.ts';
import { HistoryDestination, type Mishap } from './history-destination.ts';
import { historySegmentSize } from './history-size.ts';
import type { Tally } from './history-tally.ts';
import { historyUrl } from './history-world.ts';
import type { RealFront } from './recovery-front.ts';
import { HistoryTime, RecoveryProgram, type RecoveryMachine, type RecoveryMishap } from './recovery-machine.ts';
import { RecoveryModel, type Due, type HistoryPlan, type Past, type PlanChoice } from './recovery-model.ts';
import { filesBelow, proveMayWrite } from './recovery-places.ts';
import { RecoveryStore } from './recovery-store.ts';

const place = join('pg_wal', 'RECOVERYXLOG');
/** Above this much free room the prefetcher fetches. */
const spareBytes = 1024 ** 3;
const enoughRoom = 2 * spareBytes;
export const tooLittleRoom = spareBytes;

/** What the archiver's and restore's programs say to their fronts, and what these say to PostgreSQL. */
const codes = { served: 97, absent: 98, failed: 1, killed: 137 } as const;

/** What a name is due, and whether an error is an answer too. */
interface DueNow {
  readonly due: Due;
  readonly mayFail: boolean;
}

/** A prefetcher that was started. */
interface Prefetcher {
  readonly program: RecoveryProgram;
  readonly byteLimit: number;
  readonly ended: Promise<void>;
  readonly kill: () => void;
  isOver: boolean;
}

/** How a call of PostgreSQL's goes. */
export interface AskHow {
  readonly fault: Mishap | undefined;
  readonly mishap: RecoveryMishap | undefined;
  /** The program ends by itself with this code, before it has done anything. */
  readonly crash: number | undefined;
  /** PostgreSQL writes over what it got as soon as it has it. */
  readonly recycles: boolean;
}

/** A spare that recovers, the repository, and what is true. Whatever breaks a promise throws. */
export class RecoveryWorld implements RecoveryMachine {
  readonly time = new HistoryTime();
  isAway = false;
  freeBytes = enoughRoom;
  readonly tally: Tally;
  readonly model: RecoveryModel;
  readonly store: RecoveryStore;
  readonly #root: string;
  readonly #front: RealFront;
  readonly #destination: HistoryDestination;
  readonly #repository: Repository;
  readonly #unit: UnitFolder;
  readonly #data: string;
  #plan: HistoryPlan | undefined;
  #own = 1;
  #prefetchers: Prefetcher[] = [];
  #position = 0;
  /** What a front that was killed does at last. */
  #late: (() => void)[] = [];
  #stalled: (() => void)[] = [];
  /** Calls of which nobody waits for the end any more. */
  #lingering: Promise<unknown>[] = [];
  /** Processes that were killed a moment ago. */
  #dying: Promise<void>[] = [];
  /** What recovery got last, and what it has got and written over since. */
  #placed: { readonly name: string; readonly bytes: Buffer } | undefined;
  #used: string[] = [];
  #noteDue: (() => void) | undefined;
  readonly #faults: string[] = [];
  #saved: (() => void) | undefined;

  private constructor(
    root: string,
    front: RealFront,
    tally: Tally,
    made: Repository,
    at: HistoryDestination,
    store: RecoveryStore,
    model: RecoveryModel,
  ) {
    this.#root = root;
    this.#front = front;
    this.tally = tally;
    this.#repository = made;
    this.#destination = at;
    this.store = store;
    this.model = model;
    this.#data = join(root, 'data');
    this.#unit = unitFolder(join(root, 'home'), '15-main');
  }

  /** `root` is an empty directory. */
  static async make(root: string, front: RealFront, tally: Tally, past: Past): Promise<RecoveryWorld> {
    const at = new HistoryDestination();
    const { repository } = await createRepository(at.sound(), testOwner.since);
    const model = new RecoveryModel(past);
    for (const number of [1, 2, 3]) {
      const parent = model.left.get(number) ?? null;
      await claimIncarnation(repository, testIdentifier, number, { ...testOwner, parent });
    }
    const store = await RecoveryStore.make(repository, at, model);
    const world = new RecoveryWorld(root, front, tally, repository, at, store, model);
    await world.#begin();
    return world;
  }

  async #begin(): Promise<void> {
    for (const folder of [join(this.#data, 'pg_wal'), join(this.#data, 'global'), this.#unit.restore]) {
      mkdirSync(folder, { recursive: true });
    }
    const controlFile = Buffer.alloc(8192);
    controlFile.writeBigUInt64LE(BigInt(testIdentifier));
    writeFileSync(join(this.#data, 'global', 'pg_control'), controlFile);
    writeFileSync(settingsFile(join(this.#root, 'home')), dump({ destination: historyUrl }), { mode: 0o640 });
    await writeJson(this.#unit.pin, pinSchema, { repositoryId: this.#repository.record.id, url: historyUrl });
    await this.own(1);
  }

  async own(incarnation: number): Promise<void> {
    this.#own = incarnation;
    await writeOwnerState(this.#unit, { ownerId: testOwner.ownerId, systemIdentifier: testIdentifier, incarnation });
  }

  /** It is a standby from now on, or it is none. */
  setStandby(isStandby: boolean): void {
    const signal = join(this.#data, 'standby.signal');
    if (isStandby) writeFileSync(signal, '');
    else rmSync(signal, { force: true });
  }

  /** Puts a plan into service, or the same one again; without one there is none any more. PostgreSQL is down meanwhile. */
  async serve(choice: PlanChoice | 'again' | undefined, patienceSeconds = 0): Promise<void> {
    if (choice === undefined) rmSync(servePlanFile(this.#unit), { force: true });
    if (choice !== 'again') this.#plan = choice === undefined ? undefined : this.model.plan(choice);
    this.#position = 0;
    const plan = this.#plan;
    if (plan === undefined) return;
    const service = { ...plan.service, repositoryId: this.#repository.record.id, url: historyUrl };
    const file = servePlanFile(this.#unit);
    await writeJson(file, servePlanSchema, { format: 1, planId: 'history', patienceSeconds, service });
  }

  /** Starts a prefetcher; the input of one that is there was closed when its job ended, but it may linger. */
  async prefetch(byteLimit: number, fault: Mishap | undefined, mishap: RecoveryMishap | undefined): Promise<void> {
    for (const { program } of this.#prefetchers) program.ending.abort();
    const body = await this.#front.body();
    const program = new RecoveryProgram('prefetch', this, this.#destination, fault, mishap);
    const { signal } = program.ending;
    const prefetch = { unit: this.#unit, dataDirectory: this.#data, mark: body.mark, signal, byteLimit };
    const over = (): void => {
      started.isOver = true;
      this.#dying.push(body.kill());
    };
    const running = program.run(async () => await runPrefetch(prefetch));
    const started: Prefetcher = {
      program,
      byteLimit,
      isOver: false,
      ended: running
        .catch((error: unknown) => {
          if (!program.isTroubled && !program.isDead) this.#faults.push(`the prefetcher failed: ${String(error)}`);
        })
        .finally(over),
      kill: () => {
        program.die();
        over();
      },
    };
    this.#prefetchers.push(started);
    this.tally.add('prefetchers');
  }

  killPrefetchers(): void {
    for (const each of this.#prefetchers) each.kill();
    this.#prefetchers = [];
  }

  /** As the restore job does when recovery has ended. */
  async stopPrefetcher(): Promise<void> {
    for (const { program } of this.#prefetchers) program.ending.abort();
    if (this.#stalled.length > 0) this.killPrefetchers();
    await Promise.all(this.#prefetchers.map(async ({ ended }) => await ended));
    this.#prefetchers = [];
    rmSync(prefetchFolder(this.#unit), { recursive: true, force: true });
  }

  stall(): Promise<void> {
    this.tally.add('stalled');
    return new Promise((resolve) => this.#stalled.push(resolve));
  }

  release(): void {
    for (const resume of this.#stalled.splice(0)) resume();
  }

  /** Until all that goes on waits for time or for a destination that doesn't answer. */
  async quiet(): Promise<void> {
    await Promise.all(this.#dying.splice(0));
    let calm = 0;
    for (let turns = 0; calm < 3; turns += 1) {
      if (turns > 200_000) throw new Error('a prefetcher neither works nor waits');
      await new Promise((resolve) => setImmediate(resolve));
      const isCalm = this.#prefetchers.every(({ program, isOver }) => isOver || program.isDead || program.isQuiet);
      calm = isCalm ? calm + 1 : 0;
    }
    this.#proveBound();
  }

  changing(by: RecoveryProgram, path: string, takesRoom: boolean): void {
    try {
      proveMayWrite(this.#root, by, path);
      if (by.is === 'prefetch') this.#proveBound();
      if (takesRoom && path.endsWith('.coming') && this.freeBytes <= spareBytes)
        throw new Error('fetched into a full disk');
    } catch (error) {
      this.#faults.push(error instanceof Error ? error.message : String(error));
    }
  }

  /** No more lies in the spool than its bound, what is on its way included. */
  #proveBound(): void {
    const running = this.#prefetchers.filter(({ isOver }) => !isOver).at(-1);
    if (running === undefined) return;
    const segments = filesBelow(prefetchFolder(this.#unit)).filter(({ path }) => /[0-9A-F]{24}$|\.tmp$/.test(path));
    const there = segments.filter(({ path }) => !path.endsWith('.tmp'));
    const coming = [...running.program.coming].filter((name) => !there.some(({ path }) => path.endsWith(name)));
    const held = there.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) + coming.length * historySegmentSize;
    const now = segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    if (Math.max(held, now) > running.byteLimit)
      throw new Error(`${Math.max(held, now)} bytes lie in a spool of ${running.byteLimit}`);
  }

  act(act: number): void {
    this.tally.add('something else went on');
    const acts: readonly (() => void)[] = [
      () => this.arrive(act),
      () => this.arrive(act >> 3),
      () => this.killPrefetchers(),
      () => this.time.pass(100),
      () => this.time.pass(11_000),
      () => this.#runLate(),
      () => this.loseSpool(),
      () => this.vanish(act),
      () => this.damage(act),
      () => this.release(),
      () => {
        this.isAway = !this.isAway;
      },
    ];
    acts[act % acts.length]?.();
  }

  /** What was written later comes to the repository, in its order or not. */
  arrive(which: number): void {
    const missing = this.store.missing();
    const key = missing[which % 3 === 0 ? 0 : which % Math.max(1, missing.length)];
    if (key !== undefined) this.store.arrive(key);
    this.#noteDue?.();
  }

  vanish(which: number): void {
    const present = this.store.present();
    const key = present[which % Math.max(1, present.length)];
    if (key !== undefined) this.store.vanish(key);
    this.#noteDue?.();
  }

  damage(which: number): void {
    const present = this.store.present();
    const key = present[which % Math.max(1, present.length)];
    if (key !== undefined) this.store.damage(key, which * 7);
    this.#noteDue?.();
  }

  /** More of a segment that is not finished comes, and what it supersedes goes. */
  grow(which: number, part: number): void {
    const lasts = [...this.model.lasts];
    const key = lasts[which % lasts.length] ?? '';
    if (!this.store.has(key) && part > Math.max(0, ...this.store.parts(key))) this.store.arrive(key, part);
    if (which % 2 === 0) this.store.sweep(key);
    this.#noteDue?.();
  }

  loseSpool(): void {
    rmSync(this.#unit.spool, { recursive: true, force: true });
  }

  /** Keeps the spool as it is, links and all, to be put back in another one's place. */
  saveSpool(): void {
    const folder = prefetchFolder(this.#unit);
    const kept = filesBelow(folder).map(({ path }) => ({ path, bytes: readFileSync(path) }));
    const plan = servePlanFile(this.#unit);
    const planState = statSync(plan, { throwIfNoEntry: false })?.ino;
    this.#saved = () => {
      rmSync(folder, { recursive: true, force: true });
      for (const { path, bytes } of kept) {
        mkdirSync(join(path, '..'), { recursive: true });
        const isSame = path.endsWith('/plan') && statSync(plan, { throwIfNoEntry: false })?.ino === planState;
        if (isSame) linkSync(plan, path);
        else writeFileSync(path, bytes);
      }
    };
  }

  /** The spool is what it was before; of the process that made it nothing is there any more. */
  putBackSpool(): void {
    if (this.#saved === undefined) return;
    this.killPrefetchers();
    this.#saved();
  }

  /** The power goes: all programs end at once, and of what was not synced some is lost, by the bits of a number. */
  cutPower(bits: number): void {
    this.killPrefetchers();
    this.#late = [];
    this.#placed = undefined;
    for (const [index, { path }] of filesBelow(this.#unit.spool).entries()) {
      if (((bits >> (index % 30)) & 1) === 0) continue;
      // The plan is the one in service, which was synced.
      if (index % 2 === 0 && !path.endsWith('/plan')) writeFileSync(path, readFileSync(path).subarray(0, 3));
      else rmSync(path);
    }
  }

  /** The spool lies on another file system than PostgreSQL's WAL. */
  copies(): void {
    const current = join(prefetchFolder(this.#unit), 'current');
    const text = textOf(current);
    if (text !== '') writeFileSync(current, text.replace(/link\n$/, 'copy\n'));
  }

  /** PostgreSQL writes over an old segment that it got, in its place. */
  recycle(): void {
    const old = this.#used.shift();
    if (old === undefined) return;
    const file = openSync(old, 'r+');
    writeSync(file, Buffer.alloc(historySegmentSize, 'recycled '), 0, historySegmentSize, 0);
    closeSync(file);
  }

  /** Recovery begins anew from an earlier point. */
  goBack(by: number): void {
    this.#position = Math.max(0, this.#position - by);
  }

  /** The name that recovery asks for next. */
  get next(): string {
    return (
      this.names[this.#position] ??
      this.model.plan({ of: this.#own, start: 0, short: 0, part: 0, withParents: false, hole: false }).names.at(-1) ??
      ''
    );
  }

  get names(): readonly string[] {
    const leads = { start: 0, short: 0, part: 0, withParents: false, hole: false };
    return this.#plan?.names ?? this.model.plan({ of: this.#own === 1 ? 1 : this.#own, ...leads }).names;
  }

  #due(name: string): DueNow {
    const key = [1, 2, 3].map((incarnation) => `${incarnation}/${name}`);
    const mayFail = key.some((each) => this.model.files.has(each) && !this.store.isSound(each, undefined));
    if (readWalName(name) === undefined) return { due: { is: 'fault' }, mayFail: true };
    if (this.#plan === undefined) {
      const isStandby = statSync(join(this.#data, 'standby.signal'), { throwIfNoEntry: false }) !== undefined;
      const due = this.model.lineage(this.#own, name, isStandby, this.store);
      return { due, mayFail: mayFail || due.is === 'fault' };
    }
    const planned = this.#plan.due.get(name);
    if (planned === undefined) return { due: { is: 'absent' }, mayFail: false };
    if (planned === 'fault') return { due: { is: 'fault' }, mayFail: true };
    return { due: { is: 'bytes', bytes: planned }, mayFail };
  }

  /** Asks as recovery does: through the front. What it gets has the bytes that it is due, and it is not told anything else. */
  async ask(name: string, how: AskHow): Promise<void> {
    const target = join(this.#data, place);
    rmSync(target, { force: true });
    this.#placed = undefined;
    const dues: DueNow[] = [];
    this.#noteDue = () => dues.push(this.#due(name));
    this.#noteDue();
    const program = new RecoveryProgram('restore-wal', this, this.#destination, how.fault, how.mishap);
    let isAsked = false;
    const answer = async (): Promise<number> => {
      isAsked = true;
      if (how.crash !== undefined) return how.crash;
      const request = {
        unit: this.#unit,
        dataDirectory: this.#data,
        path: place,
        name,
        isWanted: () => !program.isDead,
      };
      const clock = { now: () => new Date(this.time.nowMs) };
      return await program
        .run(async () => await restoreWal(request, clock))
        .then(
          (said) => (program.isDead ? codes.killed : codes[said]),
          () => (program.isDead ? codes.killed : codes.failed),
        );
    };
    // The front waits for what is on its way, with a clock of its own.
    const patience = setTimeout(() => this.release(), 40);
    await Promise.all(this.#dying.splice(0));
    const call = { dataDirectory: this.#data, unit: this.#unit.path, path: place, name };
    const code = await this.#front.call(call, answer);
    clearTimeout(patience);
    this.#noteDue = undefined;
    const isTroubled = program.isTroubled || program.isDead || how.crash !== undefined || this.isAway;
    this.#judge(name, code, dues, isTroubled && isAsked);
    this.tally.add(
      code === 0 ? (isAsked ? 'served by the program' : 'served by the spool') : code === 1 ? 'absent' : 'no answer',
    );
    if (code === 200) this.#mend(name);
    if (code !== 200 && name === this.next) this.#position += 1;
    if (code === 0) this.#use(name, target, how.recycles);
  }

  /** What was missing comes late, for the most part. */
  #mend(name: string): void {
    for (const incarnation of [1, 2, 3]) if (this.#position % 4 > 0) this.store.arrive(`${incarnation}/${name}`);
  }

  #judge(name: string, code: number, dues: readonly DueNow[], isTroubled: boolean): void {
    const what = `${name} ${this.#plan === undefined ? `without a plan, incarnation ${this.#own}` : 'by the plan'}`;
    if (code === 0) {
      const served = readFileSync(join(this.#data, place));
      if (dues.some(({ due }) => due.is === 'bytes' && due.bytes.equals(served))) return;
      throw new Error(`restore-wal served other bytes for ${what}: ${served.toString('latin1', 40, 60)}`);
    }
    if (code === 1) {
      if (dues.some(({ due }) => due.is === 'absent')) return;
      throw new Error(`restore-wal said that there is no ${what}`);
    }
    if (code !== 200) throw new Error(`the front ended with ${code} for ${what}`);
    if (isTroubled || dues.some(({ due, mayFail }) => mayFail || due.is === 'fault')) return;
    throw new Error(
      `restore-wal failed without a reason for ${what}: ${textOf(join(this.#unit.restore, 'last-failure.json'))}`,
    );
  }

  /** PostgreSQL gives a segment its name, and may write over it at once or later. */
  #use(name: string, target: string, recycles: boolean): void {
    const bytes = readFileSync(target);
    if (readWalName(name)?.kind !== 'segment') {
      this.#placed = { name, bytes };
      return;
    }
    const kept = join(this.#data, 'pg_wal', name);
    renameSync(target, kept);
    this.#used.push(kept);
    if (recycles) this.recycle();
  }

  /**
   * PostgreSQL asks, and then the front is killed in the middle: nobody hears what it says, but it may still put something in
   * its place for a while, and so may the program.
   */
  async askAndDie(name: string, when: number, fault: Mishap | undefined, nth: number): Promise<void> {
    this.tally.add('fronts killed');
    rmSync(join(this.#data, place), { force: true });
    this.#placed = undefined;
    const [folder = ''] = textOf(join(prefetchFolder(this.#unit), 'current')).split(' ');
    const inside = join(prefetchFolder(this.#unit), folder);
    const isInForce = folder !== '' && this.#isAlive() && isSame(join(inside, 'plan'), servePlanFile(this.#unit));
    if (isInForce && /^[0-9A-F]{24}$/.test(name)) {
      writeFileSync(join(inside, 'asked'), `${name}\n`);
      if (isThere(join(inside, name)) && !isThere(join(inside, `${name}.gone`))) {
        if (when % 3 > 0) writeFileSync(join(inside, `${name}.gone`), '');
        if (when % 3 > 1) this.#late.push(() => link(join(inside, name), join(this.#data, place)));
        return;
      }
    }
    const mishap: RecoveryMishap = { at: 'call', nth, do: 'stall', act: 0 };
    const program = new RecoveryProgram('restore-wal', this, this.#destination, fault, mishap);
    let isWanted = true;
    const request = { unit: this.#unit, dataDirectory: this.#data, path: place, name, isWanted: () => isWanted };
    const clock = { now: () => new Date(this.time.nowMs) };
    const lingers = program.run(async () => await restoreWal(request, clock)).catch(() => undefined);
    let isOver = false;
    void lingers.then(() => {
      isOver = true;
    });
    while (!isOver && program.stalled === 0) await new Promise((resolve) => setImmediate(resolve));
    isWanted = false;
    this.#lingering.push(lingers);
  }

  #isAlive(): boolean {
    return this.#prefetchers.some(({ isOver, program }) => !isOver && !program.isDead);
  }

  #runLate(): void {
    for (const work of this.#late.splice(0)) work();
  }

  /** After each step: nothing has come to light that should not be, and what recovery got is still that. */
  async prove(): Promise<void> {
    await this.quiet();
    if (this.#faults.length > 0) throw new Error(this.#faults.join('; '));
    if (this.#placed === undefined) return;
    const now = readFileSync(join(this.#data, place));
    if (!now.equals(this.#placed.bytes)) throw new Error(`another file came into the place of ${this.#placed.name}`);
  }

  /** With everything sound again recovery gets all that is stored, the prefetcher that is there helps, and nothing is left about. */
  async settle(): Promise<void> {
    this.isAway = false;
    this.freeBytes = enoughRoom;
    for (const { program } of this.#prefetchers) program.spare();
    this.release();
    this.#runLate();
    await Promise.all(this.#lingering);
    await this.prove();
    await this.#proveFetching();
    this.release();
    const names = this.names.slice(this.#position, this.#position + 3);
    for (const name of names) {
      await this.ask(name, { fault: undefined, mishap: undefined, crash: undefined, recycles: false });
      this.time.pass(100);
      await this.prove();
    }
    await this.stopPrefetcher();
    if (filesBelow(this.#unit.spool).length > 0) throw new Error('the spool is not empty');
    this.#proveFiles();
  }

  /** What recovery asks for next lies in the spool before it asks. */
  async #proveFetching(): Promise<void> {
    const running = this.#prefetchers.at(-1);
    if (running === undefined || running.isOver || running.program.isDead || !this.isServed) return;
    const asked = textOf(join(this.#inForce, 'asked')).trim();
    const at = asked === '' ? 0 : this.names.indexOf(asked) + 1;
    const wanted = this.names[at];
    if (wanted === undefined || (asked !== '' && at === 0)) return;
    if (this.#due(wanted).mayFail || this.#due(wanted).due.is !== 'bytes') return;
    for (let times = 0; times < 4; times += 1) {
      this.time.pass(11_000);
      await this.quiet();
    }
    // It may have lost its spool only now.
    if (!this.isServed) return;
    // What came behind one that failed once may have taken all room.
    const held = filesBelow(this.#inForce).filter(({ path }) => /[0-9A-F]{24}$/.test(path)).length;
    if (held >= Math.floor(running.byteLimit / historySegmentSize)) return;
    const isReady = isThere(join(this.#inForce, wanted)) || isThere(join(this.#inForce, `${wanted}.gone`));
    if (!isReady) throw new Error(`${wanted} is not fetched, though nothing is in the way`);
    this.tally.add('still fetching at the end');
  }

  get #inForce(): string {
    const [folder = ''] = textOf(join(prefetchFolder(this.#unit), 'current')).split(' ');
    return join(prefetchFolder(this.#unit), folder === '' ? 'none' : folder);
  }

  /** A living prefetcher's spool is in force for the plan in service. */
  get isServed(): boolean {
    return (
      this.#plan !== undefined && this.#isAlive() && isSame(join(this.#inForce, 'plan'), servePlanFile(this.#unit))
    );
  }

  #proveFiles(): void {
    const known =
      /^(home\/settings\.yaml|home\/15-main\/(owner|pin)\.json|home\/15-main\/restore\/(serve|last-failure)\.json|data\/global\/pg_control|data\/standby\.signal|data\/pg_wal\/(RECOVERYXLOG|[0-9A-F]{24}|\.landscape-backup\.[0-9a-f]+\.tmp))$/;
    // Of what was killed while it wrote a note half of it may lie beside.
    const half = /^home\/15-main\/restore\/\.last-failure\.json\.[0-9a-f]+\.tmp$/;
    const strange = filesBelow(this.#root)
      .map(({ path }) => path.slice(this.#root.length + 1))
      .filter((path) => !known.test(path) && !half.test(path));
    if (strange.length > 0) throw new Error(`left about: ${strange.join(' ')}`);
  }

  /** Whatever still runs ends. */
  async end(): Promise<void> {
    this.killPrefetchers();
    this.release();
    await Promise.all(this.#lingering);
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** `[ one -ef other ]` */
function isSame(one: string, other: string): boolean {
  const [a, b] = [statSync(one, { throwIfNoEntry: false }), statSync(other, { throwIfNoEntry: false })];
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

/** `ln -T` */
function link(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    // Somebody has put something else there, or it is gone.
  }
}
