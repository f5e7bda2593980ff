import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readWalName } from '../../src/core/wal-name.ts';
import { layout } from '../../src/repository/layout.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { storePart } from '../../src/repository/wal-parts.ts';
import { storeWal, walKeyIn } from '../../src/repository/wal-store.ts';
import { MemoryDestination } from '../doubles/memory-storage.ts';
import { testIdentifier } from '../setup/wal-unit.ts';
import type { HistoryDestination } from './history-destination.ts';
import { partLengths, type RecoveryModel, type Stored, type WrittenFile } from './recovery-model.ts';

/** What objects hold: the same files are stored in thousands of histories. */
const made = new Map<string, Uint8Array>();

/** What of a model's files lies at the destination, how it comes there and goes. */
export class RecoveryStore implements Stored {
  readonly #repository: Repository;
  readonly #destination: HistoryDestination;
  readonly #model: RecoveryModel;
  readonly #objects = new Map<string, Uint8Array>();
  readonly #stored = new Set<string>();
  readonly #parts = new Map<string, number[]>();
  /** What is damaged can't be read, but that must not look like anything else. */
  readonly #damaged = new Set<string>();

  private constructor(repository: Repository, destination: HistoryDestination, model: RecoveryModel) {
    this.#repository = repository;
    this.#destination = destination;
    this.#model = model;
  }

  static async make(repository: Repository, at: HistoryDestination, model: RecoveryModel): Promise<RecoveryStore> {
    const store = new RecoveryStore(repository, at, model);
    for (const [key, file] of model.files) {
      store.#objects.set(key, await store.#objectOf(file, undefined));
      if (!isUnfinished(model, file)) continue;
      for (const length of partLengths) store.#objects.set(`${key}+${length}`, await store.#objectOf(file, length));
    }
    return store;
  }

  async #objectOf(file: WrittenFile, part: number | undefined): Promise<Uint8Array> {
    const digest = createHash('sha256').update(file.bytes).digest('hex');
    const id = `${file.incarnation}/${file.name}/${String(part)}/${digest}`;
    const known = made.get(id);
    if (known !== undefined) return known;
    const memory = new MemoryDestination();
    const scratch = { ...this.#repository, storage: memory.open() };
    const place = { systemIdentifier: testIdentifier, incarnation: file.incarnation };
    const name = readWalName(file.name);
    if (name === undefined) throw new Error(`${file.name} is no name`);
    if (part === undefined || name.kind !== 'segment') {
      const folder = mkdtempSync(join(tmpdir(), 'lb-recovery-'));
      writeFileSync(join(folder, 'wal'), file.bytes);
      await storeWal(scratch, place, name, join(folder, 'wal'), 1);
      rmSync(folder, { recursive: true });
    } else {
      let given = 0;
      const read = (buffer: Uint8Array) => {
        const piece = file.bytes.subarray(given, Math.min(part, given + buffer.byteLength));
        buffer.set(piece);
        given += piece.byteLength;
        return Promise.resolve(piece.byteLength);
      };
      await storePart(scratch, place, name, { read, length: part }, 1);
    }
    const [object] = memory.objects.values();
    if (object === undefined) throw new Error(`${file.name} was not stored`);
    made.set(id, object);
    return object;
  }

  #keyOf(key: string): string {
    const [incarnation = '', rest = ''] = key.split('/');
    const [name = '', part] = rest.split('+');
    const place = { systemIdentifier: testIdentifier, incarnation: Number(incarnation) };
    const wal = readWalName(name);
    if (part === undefined || wal?.kind !== 'segment') return walKeyIn(this.#repository, place, name);
    return layout.walPart(place, wal, Number(part));
  }

  has(key: string): boolean {
    return this.#stored.has(key);
  }

  parts(key: string): readonly number[] {
    return this.#parts.get(key) ?? [];
  }

  /** Tells whether what serves this file, or a part of it, is there and whole. */
  isSound(key: string, part: number | undefined): boolean {
    if (this.#damaged.has(key)) return false;
    return this.has(key) || this.parts(key).some((length) => part !== undefined && length >= part);
  }

  /** It is there now, whole or the beginning of it. */
  arrive(key: string, part?: number): void {
    const at = part === undefined ? key : `${key}+${part}`;
    const object = this.#objects.get(at);
    if (object === undefined || (part === undefined && this.has(key)) || this.parts(key).includes(part ?? 0)) return;
    this.#destination.seed(this.#keyOf(at), object);
    if (part === undefined) this.#stored.add(key);
    else
      this.#parts.set(
        key,
        [...this.parts(key), part].toSorted((a, b) => a - b),
      );
  }

  /** The parts that something longer has superseded are swept. */
  sweep(key: string): void {
    const parts = this.parts(key);
    const longest = this.has(key) ? Infinity : (parts.at(-1) ?? 0);
    for (const part of parts.filter((length) => length < longest))
      this.#destination.prune(this.#keyOf(`${key}+${part}`));
    this.#parts.set(
      key,
      parts.filter((length) => length >= longest),
    );
  }

  /** Somebody removes what a plan may still need. */
  vanish(key: string): void {
    if (!this.has(key)) return;
    this.#destination.prune(this.#keyOf(key));
    this.#stored.delete(key);
  }

  /** A bit of it turns, or turns back. */
  damage(key: string, seed: number): void {
    const object = this.#objects.get(key);
    if (object === undefined || !this.has(key)) return;
    const isDamaged = this.#damaged.delete(key);
    if (!isDamaged) this.#damaged.add(key);
    const bytes = Buffer.from(object);
    const at = seed % bytes.byteLength;
    if (!isDamaged) bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (seed % 8)), at);
    this.#destination.prune(this.#keyOf(key));
    this.#destination.seed(this.#keyOf(key), bytes);
  }

  /** The files that are not there, oldest first. */
  missing(): readonly string[] {
    return [...this.#model.files.keys()].filter((key) => !this.has(key));
  }

  damaged(): readonly string[] {
    return [...this.#damaged];
  }

  /** The keys of what is there, a little of everything. */
  present(): readonly string[] {
    return [...this.#stored];
  }
}

/** Of the segment that a stretch writes at last there are beginnings. */
function isUnfinished(model: RecoveryModel, file: WrittenFile): boolean {
  return model.lasts.has(`${file.incarnation}/${file.name}`);
}
