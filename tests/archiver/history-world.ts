import { join } from 'node:path';
import { archiveWal } from '../../src/archiver/archive-wal.ts';
import { parseSettings } from '../../src/core/settings.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import { layout, walNameOfKey, type Place } from '../../src/repository/layout.ts';
import { createRepository, type Repository } from '../../src/repository/repository.ts';
import { readWal, walKeyIn } from '../../src/repository/wal-store.ts';
import { writeJson } from '../../src/system/files.ts';
import { pinSchema, writeOwnerState } from '../../src/system/home.ts';
import type { DestinationOptions } from '../setup/destinations.ts';
import { testIdentifier, testOwner } from '../setup/wal-unit.ts';
import { bytes } from '../storage/bytes.ts';
import { HistoryDestination, Program, type Mishap } from './history-destination.ts';
import { HistoryMachine } from './history-machine.ts';
import type { Tally } from './history-tally.ts';

/** Where a history's programs believe their destination to be. */
export const historyUrl = 'file:///nowhere/but-in-memory';

/** What was told to PostgreSQL to be stored: from now on only a prune may take it away. */
export interface Promised {
  readonly place: Place;
  readonly name: string;
  readonly bytes: Buffer;
}

/** What every history of a test has in common. */
export interface HistorySetting {
  readonly tally: Tally;
  /** The front with a program that only fails: its word is compared with what is computed here. */
  readonly front: string;
}

/** How a call of PostgreSQL's goes. */
interface CallOptions {
  /** PostgreSQL dies before it has written down that it was told 0. */
  readonly crashes?: boolean;
  readonly asksFront?: boolean;
}

/** The machines of an application, their repository, and what was promised. Whatever breaks a promise throws. */
export class HistoryWorld {
  readonly root: string;
  readonly options: DestinationOptions;
  readonly machines: HistoryMachine[] = [];
  readonly destination: HistoryDestination;
  readonly repository: Repository;
  readonly promised = new Map<string, Promised>();
  readonly tally: Tally;
  readonly #front: string;
  readonly #pruned = new Set<string>();
  #incarnations = 1;
  /** Of a call of PostgreSQL's. */
  #lastFailure = '';

  private constructor(
    root: string,
    setting: HistorySetting,
    options: DestinationOptions,
    made: Repository,
    at: HistoryDestination,
  ) {
    this.root = root;
    this.options = options;
    this.repository = made;
    this.destination = at;
    this.tally = setting.tally;
    this.#front = setting.front;
  }

  /** `root` is an empty directory. */
  static async make(root: string, setting: HistorySetting, encryption: DestinationOptions): Promise<HistoryWorld> {
    const options = { destination: historyUrl, ...encryption };
    const at = new HistoryDestination();
    const { repository } = await createRepository(at.sound(), testOwner.since, parseSettings(options).encryption);
    await claimIncarnation(repository, testIdentifier, 1, testOwner);
    const world = new HistoryWorld(root, setting, options, repository, at);
    world.machines.push(await world.machine('a', 1));
    return world;
  }

  /** A machine whose unit owns an incarnation. */
  async machine(name: string, incarnation: number): Promise<HistoryMachine> {
    const machine = new HistoryMachine(join(this.root, name), name, this.options);
    await writeJson(machine.unit.pin, pinSchema, { repositoryId: this.repository.record.id, url: historyUrl });
    await this.own(machine, incarnation);
    return machine;
  }

  async own(machine: HistoryMachine, incarnation: number): Promise<void> {
    machine.place = { systemIdentifier: testIdentifier, incarnation };
    await writeOwnerState(machine.unit, { ...machine.place, ownerId: testOwner.ownerId });
  }

  keyOf(place: Place, name: string): string {
    return walKeyIn(this.repository, place, name);
  }

  /** PostgreSQL's `archive_command` for what it wants archived first. */
  async call(machine: HistoryMachine, program: Program, { crashes, asksFront }: CallOptions = {}): Promise<void> {
    const { server, unit, place, clock } = machine;
    const name = server.oldestReady();
    if (name === undefined) return;
    machine.calls += 1;
    const call = machine.calls;
    const whole = server.read(name);
    let isDone = machine.isAcknowledged(name);
    if (asksFront === true) {
      this.tally.add('front asked');
      if ((await machine.front(this.#front, name)) !== isDone)
        throw new Error(`the front says something else of ${name}`);
    }
    if (!isDone) {
      const request = { unit, dataDirectory: server.dataDirectory, path: join('pg_wal', name), name };
      isDone = await program
        .run(async () => await archiveWal(request, clock))
        .then(
          () => !program.isDead,
          (error: unknown) => {
            this.#lastFailure = String(error);
            return false;
          },
        );
      if (isDone) this.tally.add('acknowledged by the program');
    } else this.tally.add('acknowledged by the spool');
    // PostgreSQL has died meanwhile, and asks anew: nobody hears this.
    if (!isDone || machine.calls !== call) return;
    this.#promise(place, name, whole);
    if (crashes !== true) server.done(name);
  }

  /** The same where the front finds an acknowledgement; takes no time. */
  fetch(machine: HistoryMachine): void {
    const name = machine.server.oldestReady();
    if (name === undefined || !machine.isAcknowledged(name)) return;
    machine.calls += 1;
    this.#promise(machine.place, name, machine.server.read(name));
    machine.server.done(name);
    this.tally.add('acknowledged by the spool in the middle');
  }

  #promise(place: Place, name: string, whole: Buffer): void {
    const key = this.keyOf(place, name);
    const earlier = this.promised.get(key);
    if (earlier !== undefined && !earlier.bytes.equals(whole)) {
      throw new Error(`${key} was acknowledged with two contents`);
    }
    this.promised.set(key, { place, name, bytes: whole });
    if (this.destination.has(key)) this.#pruned.delete(key);
    else if (!this.#pruned.has(key)) throw new Error(`${key} was acknowledged and is not stored`);
  }

  /** Removes what was stored first, as the owner's prune does when no backup needs it any more. */
  prune(count: number): void {
    const keys = this.machines.flatMap(({ place }) => this.destination.keys(layout.wal(place)));
    const names = keys.filter((key) => this.promised.has(key) && !key.includes('.history'));
    for (const key of names.slice(0, count)) {
      this.destination.prune(key);
      this.#pruned.add(key);
      // From now on the name may be stored anew.
      this.promised.delete(key);
      this.tally.add('pruned');
    }
  }

  /** A restore in place: an older state goes on as a new incarnation of the same owner. */
  async restoreInPlace(machine: HistoryMachine, behind: number): Promise<void> {
    this.#incarnations += 1;
    machine.calls += 1;
    const timeline = Math.max(...this.machines.map(({ server }) => server.timeline)) + 1;
    const parent = { incarnation: machine.place.incarnation, ...machine.server.restoreTo(behind, timeline) };
    await claimIncarnation(this.repository, testIdentifier, this.#incarnations, { ...testOwner, parent });
    await this.own(machine, this.#incarnations);
    this.tally.add('restored in place');
  }

  /** A standby is promoted, as the same owner; the old primary goes on without knowing. */
  async failOver(behind: number): Promise<void> {
    const [first] = this.machines;
    if (first === undefined || this.machines.length > 1) return;
    const second = await this.machine('b', first.place.incarnation);
    second.server.follow(first.server, behind);
    this.machines.push(second);
    this.tally.add('failed over');
  }

  /** A program at a machine; while it is at work, others are too. */
  program(machine: HistoryMachine, mishap: Mishap | undefined): Program {
    return new Program(this.destination, mishap, {
      atCall: async (act) => {
        this.tally.add('something else went on');
        await this.#aside(machine, act);
      },
      atStep: (act) => {
        this.#asideAtOnce(machine, act);
      },
    });
  }

  async #aside(machine: HistoryMachine, act: number): Promise<void> {
    const sound = this.program(machine, undefined);
    const acts: readonly (() => Promise<void>)[] = [
      async () => await this.call(machine, sound),
      async () => await machine.round(1, sound),
      async () => await this.restoreInPlace(machine, act % 3),
      async () =>
        await Promise.all(this.machines.map(async (each) => await each.round(1, sound))).then(() => undefined),
    ];
    const index = act % (acts.length + 1);
    const chosen = acts[index];
    if (chosen !== undefined) await chosen();
    else this.#asideAtOnce(machine, act);
  }

  #asideAtOnce(machine: HistoryMachine, act: number): void {
    const acts: readonly (() => void)[] = [
      () => this.fetch(machine),
      () => machine.server.write(1 + (act % 2), true),
      () => machine.server.checkpoint(),
      () => machine.loseSpool(),
      () => machine.writeSettings(),
      () => machine.putBackSpool(),
      () => machine.server.forgetDone(1),
      () => this.prune(1),
      () => machine.server.setBack(),
      () => {
        this.fetch(machine);
        machine.server.write(1, true);
      },
    ];
    acts[act % acts.length]?.();
  }

  /** What a stored object holds. */
  async stored(key: string): Promise<Buffer> {
    return await bytes(readWal(this.repository, key));
  }

  /** With everything sound again, all that waits is archived, but for what another one took the name of. */
  async settle(): Promise<void> {
    for (const machine of this.machines) {
      for (const who of [0, 1]) machine.endArchiver(who, who === 0);
      await this.#drain(machine);
      await machine.round(0, this.program(machine, undefined));
      const left = machine.acknowledged().filter((name) => !machine.server.isReady(name));
      if (left.length > 0) throw new Error(`the spool keeps what nobody asks for: ${left.join(' ')}`);
    }
  }

  async #drain(machine: HistoryMachine): Promise<void> {
    for (;;) {
      const name = machine.server.oldestReady();
      if (name === undefined) return;
      if (!machine.isAcknowledged(name)) await machine.round(0, this.program(machine, undefined));
      await this.call(machine, this.program(machine, undefined));
      if (machine.server.oldestReady() !== name) continue;
      const key = this.keyOf(machine.place, name);
      if (!this.destination.has(key)) throw new Error(`${name} is not archived: ${this.#lastFailure}`);
      const taken = await this.stored(key);
      if (taken.equals(machine.server.read(name))) throw new Error(`${name} is stored, and still not acknowledged`);
      this.tally.add('refused for good');
      return;
    }
  }

  /** All that was acknowledged is stored in its very bytes, but for what was pruned, and nothing that was stored has changed. */
  async prove(): Promise<void> {
    const faults = this.destination.faults();
    if (faults.length > 0) throw new Error(faults.join('; '));
    for (const key of this.promised.keys()) {
      if (!this.#pruned.has(key) && !this.destination.has(key)) throw new Error(`${key} was acknowledged and is lost`);
    }
    for (const key of this.destination.keys(layout.cluster(testIdentifier))) {
      const name = walNameOfKey(key);
      if (name === undefined) continue;
      const promised = this.promised.get(key);
      const held = await this.stored(key);
      if (promised === undefined ? this.isWritten(name, held) : promised.bytes.equals(held)) continue;
      throw new Error(
        `${key} holds other bytes than ${promised === undefined ? 'any server wrote' : 'were acknowledged'}`,
      );
    }
  }

  /** Tells whether a server has ever written these bytes under this name. */
  isWritten(name: string, whole: Buffer): boolean {
    return this.machines.some(({ server }) => server.written.get(name)?.some((each) => each.equals(whole)) === true);
  }
}
