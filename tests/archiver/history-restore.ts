import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { restoreWal, servePlanFile } from '../../src/archiver/restore-wal.ts';
import { keepServedIdentities } from '../../src/archiver/served-identities.ts';
import { servePlanSchema, type RestoreService } from '../../src/core/restore-service.ts';
import { parseSettings } from '../../src/core/settings.ts';
import { parseWalName, segmentNumber, type WalName } from '../../src/core/wal-name.ts';
import type { Place } from '../../src/repository/layout.ts';
import type { UnitFolder } from '../../src/system/home.ts';
import { writeJson } from '../../src/system/files.ts';
import { Program, type Mishap } from './history-destination.ts';
import type { HistoryMachine } from './history-machine.ts';
import { historySegmentSize } from './history-size.ts';
import { historyUrl, type HistoryWorld } from './history-world.ts';

const path = join('pg_wal', 'RECOVERYXLOG');

/** A machine that recovers from what a history has stored. */
export class HistorySpare {
  readonly #world: HistoryWorld;
  #machine: HistoryMachine | undefined;

  constructor(world: HistoryWorld) {
    this.#world = world;
  }

  async #made(): Promise<HistoryMachine> {
    if (this.#machine !== undefined) return this.#machine;
    const machine = await this.#world.machine('spare', 1);
    mkdirSync(machine.unit.restore);
    await keepServedIdentities(machine.unit, parseSettings(this.#world.options).encryption.identities);
    this.#machine = machine;
    return machine;
  }

  /** Asks for one of all that was acknowledged, or for what no server has written yet. */
  async askForAny(which: number, planned: boolean, mishap: Mishap | undefined): Promise<void> {
    const promised = [...this.#world.promised.values()];
    const chosen = promised[which % (promised.length + 1)];
    const [first] = this.#world.machines;
    if (chosen !== undefined) await this.ask(chosen.place, chosen.name, planned, mishap);
    else if (first !== undefined) await this.ask(first.place, first.server.nextName, false, mishap);
  }

  /**
   * Asks `restore-wal` for a file, with or without a plan that lists it: what is served has the bytes that were
   * acknowledged, and "absent" or an error is an answer only where nothing else could be said.
   */
  async ask(place: Place, name: string, planned: boolean, mishap?: Mishap): Promise<void> {
    const spare = await this.#made();
    const { unit, server, clock } = spare;
    const key = this.#world.keyOf(place, name);
    await this.#world.own(spare, place.incarnation);
    rmSync(servePlanFile(unit), { force: true });
    const isListed = planned && (await this.#plan(unit, place, parseWalName(name)));
    const target = join(server.dataDirectory, path);
    rmSync(target, { force: true });
    const isThere = this.#world.destination.has(key);
    const program = new Program(this.#world.destination, mishap, {
      atCall: async () => this.#world.prune(1),
      atStep: () => undefined,
    });
    // Nobody waits for another try.
    const isWanted = () => isThere && !program.isTroubled;
    const request = { unit, dataDirectory: server.dataDirectory, path, name, isWanted };
    const answer = await program.run(async () => await restoreWal(request, clock)).catch((error: unknown) => error);
    this.#world.tally.add(typeof answer === 'string' ? `restore-wal: ${answer}` : 'restore-wal: no answer');
    const what = `restore-wal ${name} of incarnation ${place.incarnation}${isListed ? ', planned,' : ''}`;
    if (answer === 'served') {
      this.#proveServed(what, key, name, readFileSync(target));
      return;
    }
    const mayLack = !isThere || !this.#world.destination.has(key);
    if (answer === 'absent' && (isListed || !mayLack)) throw new Error(`${what} said absent of what is stored`);
    if (answer === 'absent' || mayLack || program.isTroubled) return;
    throw new Error(`${what} failed without a reason: ${String(answer)}`);
  }

  #proveServed(what: string, key: string, name: string, served: Buffer): void {
    const promised = this.#world.promised.get(key);
    const isRight = promised === undefined ? this.#world.isWritten(name, served) : promised.bytes.equals(served);
    if (!isRight) throw new Error(`${what} served other bytes`);
  }

  /** Puts a plan in service that lists this one file; tells whether plans list such files. */
  async #plan(unit: UnitFolder, place: Place, name: WalName): Promise<boolean> {
    const file = servePlanFile(unit);
    const { incarnation, systemIdentifier } = place;
    const { timeline } = name;
    let listed: Pick<RestoreService, 'segments' | 'histories'> | undefined;
    if (name.kind === 'history') listed = { segments: [], histories: [{ timeline, incarnation }] };
    if (name.kind === 'segment') {
      const number = segmentNumber(name, historySegmentSize) ?? -1;
      listed = { segments: [{ timeline, first: number, last: number, incarnation }], histories: [] };
    }
    if (listed === undefined) return false;
    const repositoryId = this.#world.repository.record.id;
    const service = { repositoryId, url: historyUrl, systemIdentifier, segmentSize: historySegmentSize, ...listed };
    await writeJson(file, servePlanSchema, { format: 1, planId: 'history', patienceSeconds: 0, service });
    return true;
  }
}
