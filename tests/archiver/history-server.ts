import {
  constants,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { formatLsn, type Lsn } from '../../src/core/lsn.ts';
import { readWalName, segmentName, segmentStart, timelineName } from '../../src/core/wal-name.ts';
import { segmentBytes, testIdentifier } from '../setup/wal-unit.ts';
import { historySegmentSize } from './history-size.ts';

/** Where a server's timeline left its parent. */
interface Branch {
  readonly parent: number;
  readonly number: number;
}

/**
 * PostgreSQL's side of archiving in a directory of its own: which files it makes in which order, what it marks as ready and
 * done, what it recycles and removes. Everything here happens at once, as between two steps of our programs.
 *
 * Source: PostgreSQL 15, pgarch.c (order, `.ready` to `.done` after 0 only), xlog.c (RemoveOldXlogFiles), xlogarchive.c.
 */
export class HistoryServer {
  readonly dataDirectory: string;
  #timeline = 1;
  #next = 1;
  #branches: readonly Branch[] = [];
  /** How often a number was written anew because the machine was set back. */
  #life = 0;
  readonly #name: string;
  /** All that it ever wrote, by name: of each name once, unless the machine was set back. */
  readonly written = new Map<string, Buffer[]>();
  #writtenMs = 0;
  /** What the machine's clock is wrong by. */
  shiftSeconds = 0;

  constructor(dataDirectory: string, name: string) {
    this.dataDirectory = dataDirectory;
    this.#name = name;
    mkdirSync(this.#status(), { recursive: true });
    mkdirSync(join(dataDirectory, 'global'));
    const controlFile = Buffer.alloc(8192);
    controlFile.writeBigUInt64LE(BigInt(testIdentifier));
    writeFileSync(join(dataDirectory, 'global', 'pg_control'), controlFile);
  }

  get next(): number {
    return this.#next;
  }

  get timeline(): number {
    return this.#timeline;
  }

  /** The name that the server would ask for behind all that it wrote. */
  get nextName(): string {
    return segmentName(this.#timeline, this.#next, historySegmentSize);
  }

  pathOf(name: string): string {
    return join(this.dataDirectory, 'pg_wal', name);
  }

  #status(name = ''): string {
    return join(this.dataDirectory, 'pg_wal', 'archive_status', name);
  }

  /** Fills segments; a recycled one is an old file under a new name, written over in its place. */
  write(count: number, recycles: boolean): void {
    for (let each = 0; each < count; each += 1) {
      const name = this.nextName;
      const old = recycles ? this.#done().find((done) => readWalName(done)?.kind === 'segment') : undefined;
      if (old !== undefined) {
        rmSync(this.#status(`${old}.done`));
        renameSync(this.pathOf(old), this.pathOf(name));
      }
      this.#put(name, this.#segment(this.#next));
      this.#next += 1;
      this.#markReady(name);
    }
  }

  /** The label of a base backup that ends now. */
  writeLabel(): void {
    const name = `${segmentName(this.#timeline, this.#next, historySegmentSize)}.00000028.backup`;
    if (readdirSync(this.#status()).some((file) => file.startsWith(name))) return;
    this.#put(name, Buffer.from(`START WAL LOCATION: 0/0 (file ${this.nextName})\n`));
    this.#markReady(name);
  }

  /** Ends recovery: the unfinished segment stays as `.partial`, and a new timeline begins inside of it. */
  promote(timeline = this.#timeline + 1): void {
    const partial = `${this.nextName}.partial`;
    this.#put(partial, this.#segment(this.#next));
    this.#markReady(partial);
    this.#beginTimeline(timeline);
  }

  #beginTimeline(timeline: number): void {
    this.#branches = [...this.#branches, { parent: this.#timeline, number: this.#next }];
    this.#timeline = timeline;
    const lines = this.#branches.map(({ parent, number }) => `${parent}\t${formatLsn(inside(number))}\tno target\n`);
    const history = `${timelineName(timeline)}.history`;
    this.#put(history, Buffer.from(lines.join('\n')));
    this.#markReady(history);
  }

  /** Goes on as another server's standby that is promoted at an earlier segment, with what that has not archived yet of its own. */
  follow(other: HistoryServer, behind: number): void {
    this.#timeline = other.#timeline;
    this.#branches = other.#branches;
    const from = this.#branches.at(-1)?.number ?? 0;
    this.#next = Math.max(other.#next - behind, from + 1, 1);
    // What both have is the same.
    for (const name of readdirSync(join(other.dataDirectory, 'pg_wal')).filter((each) => each < this.nextName)) {
      if (readWalName(name)?.kind !== 'segment') continue;
      this.#put(name, other.read(name));
      this.#markReady(name);
    }
    this.promote();
  }

  /** A restore in place: the directory holds an older state, which goes on as a new timeline. Gives back where it left the old one. */
  restoreTo(behind: number, timeline: number): { readonly timeline: number; readonly lsn: Lsn } {
    rmSync(join(this.dataDirectory, 'pg_wal'), { recursive: true });
    mkdirSync(this.#status(), { recursive: true });
    const from = this.#branches.at(-1)?.number ?? 0;
    this.#next = Math.max(this.#next - behind, from + 1, 1);
    const left = { timeline: this.#timeline, lsn: inside(this.#next) };
    this.#beginTimeline(timeline);
    return left;
  }

  /** The machine is set back to an earlier state and writes other bytes under the same name: what must never be acknowledged. */
  setBack(): void {
    const from = this.#branches.at(-1)?.number ?? 0;
    if (this.#next <= from + 1) return;
    this.#next -= 1;
    this.#life += 1;
    rmSync(this.#status(`${this.nextName}.done`), { force: true });
    this.write(1, false);
  }

  /** The file that it asks for next: histories first, then by name. */
  oldestReady(): string | undefined {
    const names = this.#marked('.ready');
    return names.find((name) => name.endsWith('.history')) ?? names[0];
  }

  isReady(name: string): boolean {
    return this.#marked('.ready').includes(name);
  }

  read(name: string): Buffer {
    return readFileSync(this.pathOf(name));
  }

  done(name: string): void {
    renameSync(this.#status(`${name}.ready`), this.#status(`${name}.done`));
  }

  /** Removes what is archived. */
  checkpoint(): void {
    for (const name of this.#done()) {
      rmSync(this.#status(`${name}.done`));
      rmSync(this.pathOf(name), { force: true });
    }
  }

  /** The power went before the last renames were durable: what was acknowledged is asked for again. */
  forgetDone(count: number): void {
    for (const name of this.#done().slice(0, count))
      renameSync(this.#status(`${name}.done`), this.#status(`${name}.ready`));
  }

  #done(): readonly string[] {
    return this.#marked('.done');
  }

  #marked(mark: string): readonly string[] {
    const names = readdirSync(this.#status()).filter((file) => file.endsWith(mark));
    return names.map((file) => file.slice(0, -mark.length)).toSorted();
  }

  #markReady(name: string): void {
    writeFileSync(this.#status(`${name}.ready`), '');
  }

  #segment(number: number): Buffer {
    const branch = this.#branches.at(-1);
    const pageTimeline = branch?.number === number ? branch.parent : this.#timeline;
    const fill = `${this.#name}/${this.#life}/${number} `;
    return segmentBytes({ timeline: this.#timeline, number, pageTimeline, sizeBytes: historySegmentSize, fill });
  }

  #put(name: string, bytes: Buffer): void {
    const path = this.pathOf(name);
    this.written.set(name, [...(this.written.get(name) ?? []), bytes]);
    const target = openSync(path, constants.O_RDWR | constants.O_CREAT);
    try {
      writeSync(target, bytes, 0, bytes.byteLength, 0);
    } finally {
      closeSync(target);
    }
    // The kernel's clock ticks more slowly than a model writes, and PostgreSQL takes longer for a segment than a tick.
    this.#writtenMs = Math.max(Date.now(), this.#writtenMs + 1);
    const seconds = this.#writtenMs / 1000 + this.shiftSeconds;
    utimesSync(path, seconds, seconds);
  }
}

function inside(number: number): Lsn {
  return segmentStart(number, historySegmentSize) + 40n;
}
