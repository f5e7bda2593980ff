import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatLsn } from '../../src/core/lsn.ts';
import { historyName, readWalName, segmentName } from '../../src/core/wal-name.ts';
import { segmentBytes, testIdentifier } from '../setup/wal-unit.ts';
import { historySegmentSize as size } from './history-size.ts';

interface Branch {
  readonly parent: number;
  readonly at: number;
}

/** What `pg_receivewal` is to a server: where it writes, and how far it has come. */
interface ModelReceiver {
  readonly folder: string;
  timeline: number;
  number: number;
  readonly end: (stderr: string) => void;
}

/**
 * A server that WAL is streamed and archived from, one step at a time: what it writes, keeps for a slot, removes, marks for its
 * archiver, and sends. A receiver of it writes into its folder as `pg_receivewal` does.
 */
export class StreamedServer {
  readonly dataDirectory: string;
  timeline = 1;
  /** Where it writes. */
  lsn = size + 128;
  history: readonly Branch[] = [];
  slot: { restart: number; isLost: boolean; readonly first: number } | undefined;
  /** Its archiver calls ours. */
  archives = false;
  #redo = size;
  #receiver: ModelReceiver | undefined;
  /** The first segment that it can send. */
  #kept = 1;

  constructor(dataDirectory: string) {
    this.dataDirectory = dataDirectory;
    mkdirSync(join(this.walFolder, 'archive_status'), { recursive: true });
    mkdirSync(join(dataDirectory, 'global'));
    const controlFile = Buffer.alloc(8192);
    controlFile.writeBigUInt64LE(BigInt(testIdentifier));
    writeFileSync(join(dataDirectory, 'global', 'pg_control'), controlFile);
    this.#keepFiles(1);
  }

  get walFolder(): string {
    return join(this.dataDirectory, 'pg_wal');
  }

  /** The timelines under whose names a segment may lie, the one that counts first. */
  timelinesOf(number: number): readonly number[] {
    const found: number[] = [];
    let end = Infinity;
    for (const timeline of [this.timeline, ...this.history.map(({ parent }) => parent).toReversed()]) {
      const begin = this.#begin(timeline);
      if (number >= Math.floor(begin / size) && number * size < end) found.push(timeline);
      end = begin;
    }
    return found;
  }

  /** Where a timeline begins. */
  #begin(timeline: number): number {
    const index = this.history.findIndex(({ parent }) => parent === timeline);
    return (index === -1 ? this.history.at(-1) : this.history[index - 1])?.at ?? 0;
  }

  /** Where a timeline ends: in another one, or in what is not written yet. */
  #end(timeline: number): number {
    return this.history.find(({ parent }) => parent === timeline)?.at ?? this.lsn;
  }

  /** What of a segment is written on a timeline up to an LSN, and zeros behind it. */
  bytes(timeline: number, number: number, below: number): Buffer {
    const start = number * size;
    const begin = this.#begin(timeline);
    const branch = this.history.find(({ at }) => at === begin);
    const bytes = segmentBytes({ timeline, number, sizeBytes: size, fill: `${timeline}/${number}/` });
    if (branch !== undefined && begin > start)
      this.bytes(branch.parent, number, begin).copy(bytes, 0, 0, begin - start);
    return bytes.fill(0, Math.max(0, Math.min(size, Math.min(below, this.#end(timeline)) - start)));
  }

  /** Goes on by so many bytes, in records of 8; never only a little into a segment's first page. */
  write(bytes: number): void {
    const before = Math.floor(this.lsn / size);
    this.lsn += Math.ceil(bytes / 8) * 8;
    const inside = this.lsn % size;
    if (inside < 128) this.lsn += 128 - inside;
    this.#keepFiles(before);
  }

  #keepFiles(from: number): void {
    const last = Math.floor(this.lsn / size);
    for (let number = from; number <= last; number += 1) {
      const name = segmentName(this.timeline, number, size);
      writeFileSync(join(this.walFolder, name), this.bytes(this.timeline, number, this.lsn));
      if (number < last && this.archives) this.#status(name, '.ready');
    }
  }

  #status(name: string, mark: string): void {
    writeFileSync(join(this.walFolder, 'archive_status', name + mark), '');
  }

  /** It is promoted, or was set up anew from its own end: a new timeline begins where it writes. */
  promote(): void {
    this.history = [...this.history, { parent: this.timeline, at: this.lsn }];
    this.timeline += 1;
    const name = historyName(this.timeline);
    writeFileSync(join(this.walFolder, name), this.#historyText(this.timeline));
    if (this.archives) this.#status(name, '.ready');
    this.write(128);
  }

  #historyText(timeline: number): string {
    const lines = this.history.filter(({ parent }) => parent < timeline);
    return lines.map(({ parent, at }) => `${parent}\t${formatLsn(BigInt(at))}\tno recovery target\n`).join('');
  }

  #ready(): readonly string[] {
    const ready = readdirSync(join(this.walFolder, 'archive_status')).filter((file) => file.endsWith('.ready'));
    return ready.map((file) => file.slice(0, -'.ready'.length)).toSorted();
  }

  oldestReady(): string | undefined {
    const names = this.#ready();
    return names.find((name) => name.endsWith('.history')) ?? names[0];
  }

  done(name: string): void {
    const of = (mark: string) => join(this.walFolder, 'archive_status', name + mark);
    renameSync(of('.ready'), of('.done'));
  }

  /** Removes what neither the slot nor the archiver keeps; where nobody would keep anything there is room for all. */
  checkpoint(): void {
    this.#redo = this.lsn;
    if (this.slot === undefined && !this.archives) return;
    const ready = this.archives ? this.#ready().filter((name) => !name.endsWith('.history')) : [];
    const waiting = Math.min(...ready.map(numberOf));
    const slot = this.slot === undefined || this.slot.isLost ? Infinity : Math.floor(this.slot.restart / size);
    // What it has from before a slot nobody keeps: what goes before it is stored is a hole for `findHoles`.
    this.#removeBelow(Math.min(waiting, slot, Math.floor(this.lsn / size)), this.slot?.first);
  }

  #removeBelow(number: number, from = 0): void {
    for (const file of readdirSync(this.walFolder)) {
      if (readWalName(file)?.kind !== 'segment' || numberOf(file) >= number || numberOf(file) < from) continue;
      rmSync(join(this.walFolder, file));
      for (const mark of ['.ready', '.done'])
        rmSync(join(this.walFolder, 'archive_status', file + mark), { force: true });
    }
    this.#kept = Math.max(this.#kept, number);
  }

  /** Tells whether it could still send or archive a segment. */
  has(name: string): boolean {
    return existsSync(join(this.walFolder, name));
  }

  createSlot(): void {
    const restart = Math.max(this.#redo, this.#kept * size);
    this.slot ??= { restart, isLost: false, first: Math.floor(restart / size) };
  }

  dropSlot(): void {
    this.endReceiver('the slot is gone');
    this.slot = undefined;
  }

  /** It keeps no more for the slot than it may, and removes what that needs. */
  loseSlot(): void {
    if (this.slot === undefined || this.archives) return;
    this.endReceiver('requested WAL segment has already been removed');
    this.slot.isLost = true;
    this.#removeBelow(Math.floor(this.lsn / size));
  }

  endReceiver(stderr: string): void {
    this.#receiver?.end(stderr);
    this.#receiver = undefined;
  }

  get isReceiving(): boolean {
    return this.#receiver !== undefined;
  }

  /** Somebody receives from the slot from now on; whoever did before ends. */
  startReceiver(folder: string, end: (stderr: string) => void): () => void {
    this.endReceiver('terminated');
    const names = readdirSync(folder).flatMap((file) => /^([0-9A-F]{24})(\.partial)?$/.exec(file)?.slice(1, 3) ?? []);
    let last: { name: string; isPartial: boolean } | undefined;
    for (let at = 0; at < names.length; at += 2) {
      const each = { name: names[at] ?? '', isPartial: names[at + 1] !== undefined };
      if (last === undefined || placeOf(each.name) > placeOf(last.name)) last = each;
    }
    const fromSlot = Math.floor((this.slot?.restart ?? 0) / size);
    const number = last === undefined ? fromSlot : numberOf(last.name) + (last.isPartial ? 0 : 1);
    const timeline =
      last === undefined ? (this.timelinesOf(number)[0] ?? this.timeline) : (readWalName(last.name)?.timeline ?? 0);
    const isKnown = timeline === this.timeline || this.history.some(({ parent }) => parent === timeline);
    let fault: string | undefined;
    if (this.slot === undefined || this.slot.isLost) fault = 'there is no slot';
    else if (!isKnown || number * size > this.#end(timeline)) fault = 'requested starting point is not in the history';
    else if (number < this.#kept) fault = 'requested WAL segment has already been removed';
    if (fault !== undefined) {
      end(fault);
      return () => undefined;
    }
    const receiver = (this.#receiver = { folder, timeline, number, end });
    return () => {
      if (this.#receiver === receiver) this.endReceiver('');
    };
  }

  /** What is sent arrives, so many bytes of it at most, is durable there, and the slot is told, or is told with the next. */
  receive(bytes: number, tells: boolean): void {
    const receiver = this.#receiver;
    if (receiver === undefined) return;
    for (let left = bytes; left > 0;) {
      const { timeline, number, folder } = receiver;
      const start = number * size;
      const end = Math.min(this.#end(timeline), start + size);
      const name = segmentName(timeline, number, size);
      const partial = join(folder, `${name}.partial`);
      const had = receivedLength(partial);
      // What is sent ends with a record, and none ends in a segment's header.
      const least = Math.min(end - start, 128);
      const below = Math.max(had, least, Math.min(end, start + had + left) - start);
      left -= Math.max(8, below - had);
      const upTo = start + Math.ceil(below / 8) * 8;
      writeFileSync(partial, this.bytes(timeline, number, upTo));
      lengths.set(partial, upTo - start);
      if (tells && this.slot !== undefined) this.slot.restart = Math.max(this.slot.restart, Math.min(upTo, end));
      if (upTo < end) return;
      if (end === start + size) {
        renameSync(partial, join(folder, name));
        receiver.number += 1;
      } else if (timeline !== this.timeline) {
        // The timeline ends inside: the next one is named after the same place.
        const next = this.#next(timeline);
        writeFileSync(join(folder, historyName(next)), this.#historyText(next));
        receiver.timeline = next;
      } else return;
    }
  }

  #next(timeline: number): number {
    const index = this.history.findIndex(({ parent }) => parent === timeline);
    return this.history[index + 1]?.parent ?? this.timeline;
  }
}

/** How far a receiver has come in a file: what it knows and the file does not show. */
const lengths = new Map<string, number>();

function receivedLength(partial: string): number {
  return existsSync(partial) ? (lengths.get(partial) ?? 0) : 0;
}

/** The number of a segment, by its name. */
function numberOf(name: string): number {
  return Number.parseInt(name.slice(16), 16);
}

/** By position first: a newer timeline begins inside a segment of the older one. */
function placeOf(name: string): string {
  return name.slice(8) + name.slice(0, 8);
}
