import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dump } from 'js-yaml';
import { archiveWal } from '../../src/archiver/archive-wal.ts';
import { runStream } from '../../src/archiver/stream.ts';
import { neededBackupSchema } from '../../src/core/needed-backup.ts';
import { parseSettings } from '../../src/core/settings.ts';
import { parseWalName, segmentName } from '../../src/core/wal-name.ts';
import { streamSource } from '../../src/jobs/stream-source.ts';
import { guardSlot, reconcileStreaming } from '../../src/jobs/streaming.ts';
import type { Cluster } from '../../src/postgres/cluster.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import { walNameOfKey, type Place } from '../../src/repository/layout.ts';
import { createRepository, openRepository, type Repository } from '../../src/repository/repository.ts';
import { listParts, readPart } from '../../src/repository/wal-parts.ts';
import { readWal, walKeyIn } from '../../src/repository/wal-store.ts';
import { readJson, writeJson } from '../../src/system/files.ts';
import { pinSchema, settingsFile, unitFolder, writeOwnerState, type UnitFolder } from '../../src/system/home.ts';
import { readStreamMarker, streamFolder } from '../../src/system/stream-marker.ts';
import { testIdentifier, testOwner } from '../setup/wal-unit.ts';
import { bytes } from '../storage/bytes.ts';
import { HistoryDestination, openForProgram, type Mishap } from './history-destination.ts';
import { historySegmentSize as size } from './history-size.ts';
import type { Tally } from './history-tally.ts';
import { historyUrl } from './history-world.ts';
import { HistoryTime, RecoveryProgram, type RecoveryMachine, type RecoveryMishap } from './recovery-machine.ts';
import { withServer } from './streaming-postgres.ts';
import { StreamedServer } from './streaming-server.ts';

export type Method = 'archive' | 'stream';

/** A unit whose WAL comes by a stream or from its archiver, its repository, and what was promised. Whatever breaks a promise throws. */
export class StreamingWorld implements RecoveryMachine {
  readonly time = new HistoryTime();
  isAway = false;
  freeBytes = 0;
  readonly server: StreamedServer;
  readonly #tally: Tally;
  readonly #repository: Repository;
  readonly #destination: HistoryDestination;
  readonly #unit: UnitFolder;
  readonly #place: Place = { systemIdentifier: testIdentifier, incarnation: 1 };
  readonly #cluster: Cluster;
  readonly #settings: string;
  #method: Method;
  #archiver: RecoveryProgram | undefined;
  #streaming: Promise<void> = Promise.resolve();
  #stalled: (() => void)[] = [];
  /** The first segment that anybody keeps for us. */
  readonly #first: number;
  /** How far a slot of ours was told that what it sent is durable. */
  #confirmed = 0;
  /** What the server has removed though a slot needed it: that is a hole for `findHoles`, whoever drops the slot. */
  #lostBelow = 0;
  readonly #acknowledged = new Map<string, Buffer>();

  private constructor(root: string, tally: Tally, made: Repository, at: HistoryDestination, method: Method) {
    const home = join(root, 'home');
    this.#tally = tally;
    this.#repository = made;
    this.#destination = at;
    this.#method = method;
    this.#unit = unitFolder(home, '15-main');
    this.#settings = settingsFile(home);
    mkdirSync(this.#unit.path, { recursive: true });
    this.server = new StreamedServer(join(root, 'data'));
    this.#first = Math.floor(this.server.lsn / size);
    this.#cluster = {
      major: '15',
      name: 'main',
      label: '15/main',
      unit: '15-main',
      port: 5432,
      dataDirectory: this.server.dataDirectory,
      configDirectory: root,
      socketDirectory: root,
      logFile: root,
      binaries: root,
      ownerUid: 0,
      ownerGid: 0,
      running: true,
    };
    at.removes = (key) => this.#removes(key);
  }

  /** `root` is an empty directory. */
  static async make(root: string, tally: Tally, method: Method): Promise<StreamingWorld> {
    const at = new HistoryDestination();
    const { repository } = await createRepository(at.sound(), testOwner.since);
    await claimIncarnation(repository, testIdentifier, 1, testOwner);
    const world = new StreamingWorld(root, tally, repository, at, method);
    await writeJson(world.#unit.pin, pinSchema, { repositoryId: repository.record.id, url: historyUrl });
    await writeOwnerState(world.#unit, { ownerId: testOwner.ownerId, ...world.#place });
    await world.job(method, undefined, undefined);
    return world;
  }

  #program(is: RecoveryProgram['is'], fault: Mishap | undefined, mishap: RecoveryMishap | undefined): RecoveryProgram {
    return new RecoveryProgram(is, this, this.#destination, fault, mishap);
  }

  /** The job that brings server and marker in line with a method; a look at the slot alone is what a timer does. */
  async job(
    method: Method,
    fault: Mishap | undefined,
    mishap: RecoveryMishap | undefined,
    looksOnly = false,
  ): Promise<void> {
    this.#method = method;
    writeFileSync(this.#settings, dump({ destination: historyUrl, 'wal-method': method }), { mode: 0o640 });
    const program = this.#program('job', fault, mishap);
    const settings = parseSettings({ destination: historyUrl, 'wal-method': method });
    const clock = { now: () => new Date() };
    const context = { cluster: this.#cluster, unit: this.#unit, settings, clock };
    const incarnation = { number: 1, owner: testOwner };
    const work = async () => {
      if (looksOnly) {
        await guardSlot(context);
        return;
      }
      this.#applyArchiving(method);
      const repository = await openRepository(await openForProgram(), this.#repository.record.id);
      await reconcileStreaming(context, repository, { is: 'owner', incarnation }, this.server.archives);
    };
    await withServer(this.server, async () => await program.run(work)).then(
      () => undefined,
      (error: unknown) => {
        if (!program.isTroubled && !program.isDead) throw error;
        this.#tally.add(program.isDead ? 'jobs killed' : 'jobs failed');
      },
    );
  }

  /** As `configure` does before, which records what was lost where nobody streamed until archiving was on. */
  #applyArchiving(method: Method): void {
    const { server } = this;
    const isStreaming = server.slot?.isLost === false;
    if (method === 'archive' && !server.archives && !isStreaming) this.#lostBelow = server.lsn;
    server.archives = method === 'archive';
  }

  /** The archiver starts and streams when there is something to stream. */
  start(fault: Mishap | undefined, mishap: RecoveryMishap | undefined): void {
    if (this.#archiver !== undefined && !this.#archiver.isDead) return;
    this.server.endReceiver('terminated');
    const program = this.#program('stream', fault, mishap);
    const stream = {
      unit: this.#unit,
      clock: { now: () => new Date() },
      signal: program.ending.signal,
      say: () => undefined,
      step: (step: string) => this.#tally.add(`came to: ${step}`),
      source: async () => await Promise.resolve(streamSource(this.#cluster)),
    };
    this.#archiver = program;
    this.#streaming = withServer(this.server, async () => await program.run(async () => await runStream(stream)));
    this.#streaming.catch((error: unknown) => {
      if (!program.isDead) this.#faults.push(`the stream failed: ${String(error)}`);
    });
  }

  readonly #faults: string[] = [];

  /** What receives dies with it. */
  kill(): void {
    this.#archiver?.die();
    this.#archiver = undefined;
    this.server.endReceiver('killed');
  }

  async stop(): Promise<void> {
    this.release();
    this.#archiver?.ending.abort();
    await this.#streaming.catch(() => undefined); // It was told before.
    this.#archiver = undefined;
  }

  stall(): Promise<void> {
    return new Promise((resolve) => this.#stalled.push(resolve));
  }

  release(): void {
    for (const resume of this.#stalled.splice(0)) resume();
  }

  changing(): void {
    // Where it may write is proven elsewhere.
  }

  act(act: number): void {
    const acts: readonly (() => void)[] = [
      () => this.server.write(64 + (act % size)),
      () => this.receive(act % (2 * size), true),
      () => this.receive(size, false),
      () => this.server.checkpoint(),
      () => this.server.endReceiver('the server ended it'),
      () => this.server.promote(),
      () => this.time.pass(3000),
    ];
    this.#tally.add('something else went on');
    acts[act % acts.length]?.();
  }

  receive(count: number, tells: boolean): void {
    this.server.receive(count, tells);
    const { slot } = this.server;
    if (slot !== undefined && !slot.isLost) this.#confirmed = Math.max(this.#confirmed, slot.restart);
  }

  loseSlot(): void {
    if (this.server.slot === undefined || this.server.slot.isLost || this.server.archives) return;
    this.server.loseSlot();
    this.#lostBelow = this.server.lsn;
    this.#tally.add('slots lost');
  }

  /** PostgreSQL's `archive_command` for what it wants archived first. */
  async call(fault: Mishap | undefined, mishap: RecoveryMishap | undefined): Promise<void> {
    const name = this.server.oldestReady();
    if (name === undefined || !this.server.archives) return;
    const program = this.#program('archive-wal', fault, mishap);
    const path = join('pg_wal', name);
    const whole = readFileSync(join(this.server.dataDirectory, path));
    const request = { unit: this.#unit, dataDirectory: this.server.dataDirectory, path, name };
    try {
      await program.run(async () => await archiveWal(request, { now: () => new Date() }));
    } catch (error) {
      if (!program.isTroubled && !program.isDead) throw error;
      return;
    }
    if (program.isDead) return;
    this.#acknowledged.set(name, whole);
    this.server.done(name);
  }

  async quiet(): Promise<void> {
    let calm = 0;
    for (let turns = 0; calm < 3; turns += 1) {
      if (turns > 200_000) throw new Error('the stream neither works nor waits');
      await new Promise((resolve) => setImmediate(resolve));
      const program = this.#archiver;
      calm = program === undefined || program.isDead || program.isQuiet ? calm + 1 : 0;
    }
    if (this.#archiver?.isDead === true) this.kill();
  }

  /** Nobody takes away what nothing longer holds. */
  #removes(key: string): void {
    const part = /([0-9A-F]{24})\.([0-9A-F]{8})\.part/.exec(walNameOfKey(key) ?? '');
    const [, name = '', length = ''] = part ?? [];
    const beside = this.#destination
      .keys(key.slice(0, key.lastIndexOf('/') + 1))
      .map((each) => walNameOfKey(each) ?? '');
    const longer = beside.some((each) => {
      const other = /^([0-9A-F]{24})\.([0-9A-F]{8})\.part$/.exec(each);
      return each === name || (other?.[1] === name && (other[2] ?? '') > length);
    });
    if (part === null || !longer) this.#faults.push(`${key} was removed, and nothing holds what it held`);
    this.#tally.add('beginnings swept');
  }

  /** Where the line begins anew, by what is recorded: what is before it can't be joined. */
  async #lossAt(): Promise<number> {
    const hole = await readJson(join(this.#unit.path, 'needs-backup.hole.json'), neededBackupSchema);
    return Math.max(this.#lostBelow, Number(hole?.after ?? 0n));
  }

  /** What the repository holds of a segment: all of it, or the longest beginning. */
  async #stored(number: number, timeline: number): Promise<Buffer | undefined> {
    const name = segmentName(timeline, number, size);
    const key = walKeyIn(this.#repository, this.#place, name);
    if (this.#destination.has(key)) return await bytes(readWal(this.#repository, key));
    const wal = parseWalName(name);
    const length = wal.kind === 'segment' ? (await listParts(this.#repository, this.#place, wal)).at(-1) : undefined;
    if (length === undefined) return undefined;
    return await bytes(readPart(this.#repository, this.#place, { name, length, segmentSize: size }));
  }

  #received(number: number, timeline: number): readonly Buffer[] {
    const path = join(streamFolder(this.#unit, 1), segmentName(timeline, number, size));
    return [path, `${path}.partial`].filter((each) => existsSync(each)).map((each) => readFileSync(each));
  }

  /** The segments of which not all below an LSN is where it has to be. */
  async #missing(below: number, where: 'stored' | 'anywhere'): Promise<readonly string[]> {
    const missing: string[] = [];
    const from = Math.max(this.#first, Math.floor((await this.#lossAt()) / size));
    for (let number = from; number * size < below; number += 1) {
      const timelines = this.server.timelinesOf(number);
      const wanted = this.server.bytes(timelines[0] ?? 0, number, below).subarray(0, below - number * size);
      const found: Buffer[] = [];
      for (const timeline of timelines) {
        const stored = await this.#stored(number, timeline);
        if (stored !== undefined) found.push(stored);
        if (where === 'stored') continue;
        found.push(...this.#received(number, timeline));
        const name = segmentName(timeline, number, size);
        if (this.server.has(name)) found.push(readFileSync(join(this.server.walFolder, name)));
      }
      if (!found.some((each) => each.subarray(0, wanted.byteLength).equals(wanted)))
        missing.push(segmentName(timelines[0] ?? 0, number, size));
    }
    return missing;
  }

  /** After each step: what was told to be durable is somewhere, what was acknowledged is stored, and nothing stored is wrong. */
  async prove(): Promise<void> {
    await this.quiet();
    this.#faults.push(...this.#destination.faults());
    if (this.#faults.length > 0) throw new Error(this.#faults.join('; '));
    for (const [name, whole] of this.#acknowledged) {
      const key = walKeyIn(this.#repository, this.#place, name);
      if (!this.#destination.has(key) || !(await bytes(readWal(this.#repository, key))).equals(whole))
        throw new Error(`${name} was acknowledged and is not stored`);
    }
    const missing = await this.#missing(this.#confirmed, 'anywhere');
    if (missing.length > 0) throw new Error(`durable, as the server was told, and nowhere: ${missing.join(' ')}`);
  }

  /** With everything sound again all that was written is stored, without a hole that is not recorded. */
  async settle(): Promise<void> {
    this.isAway = false;
    this.release();
    await this.stop();
    this.start(undefined, undefined);
    for (let round = 0; round < 12; round += 1) {
      await this.job(this.#method, undefined, undefined);
      if (round < 4) this.server.write(size);
      this.time.pass(61_000);
      await this.quiet();
      this.receive(1024 * size, true);
      this.time.pass(61_000);
      await this.quiet();
      while (this.server.archives && this.server.oldestReady() !== undefined) await this.call(undefined, undefined);
    }
    await this.prove();
    const { lsn } = this.server;
    const below = this.#method === 'stream' ? lsn : lsn - (lsn % size);
    const missing = await this.#missing(below, 'stored');
    if (missing.length > 0) throw new Error(`not stored in the end: ${missing.join(' ')}`);
    const marker = await readStreamMarker(this.#unit);
    if (this.#method === 'archive' && (marker !== undefined || this.server.slot !== undefined))
      throw new Error('archiving is on, and the slot stays');
    if (this.#method === 'stream' && this.server.slot === undefined) throw new Error('there is no slot to stream from');
    await this.stop();
    if (this.#method === 'archive') this.#proveEmpty();
  }

  #proveEmpty(): void {
    const folder = streamFolder(this.#unit, 1);
    const left = existsSync(folder) ? readdirSync(folder).filter((file) => !file.endsWith('.history')) : [];
    if (left.length > 0) throw new Error(`received and left about: ${left.join(' ')}`);
  }

  async end(): Promise<void> {
    this.release();
    this.kill();
    await this.#streaming.catch(() => undefined);
    rmSync(this.server.dataDirectory, { recursive: true, force: true });
  }
}
