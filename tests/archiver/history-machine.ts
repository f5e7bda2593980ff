import { execa } from 'execa';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { ArchiveRounds } from '../../src/archiver/archive-rounds.ts';
import { dump } from 'js-yaml';
import { toFailure } from '../../src/core/failure.ts';
import type { Place } from '../../src/repository/layout.ts';
import { settingsFile, unitFolder, type UnitFolder } from '../../src/system/home.ts';
import type { DestinationOptions } from '../setup/destinations.ts';
import { stepOfProgram, type Program } from './history-destination.ts';
import { HistoryServer } from './history-server.ts';

/** No process has these: the front waits for no archiver of a history. */
const noProcess = { pid: 1, startTime: 'boot:99999999999999' };

/** A machine with a server, its unit's folder, and up to two archivers, which a lock would keep from running both. */
export class HistoryMachine {
  readonly server: HistoryServer;
  readonly unit: UnitFolder;
  readonly #settings: string;
  readonly #options: string;
  readonly #saved: string;
  readonly #archivers: (ArchiveRounds | undefined)[] = [];
  readonly clock = { now: () => new Date(Date.now() + this.server.shiftSeconds * 1000) };
  /** Counts the calls of PostgreSQL's: who was called before the last one is not heard any more. */
  calls = 0;
  /** What the unit owns. */
  place: Place = { systemIdentifier: '', incarnation: 0 };

  constructor(root: string, name: string, options: DestinationOptions) {
    const home = join(root, 'home');
    mkdirSync(home, { recursive: true });
    this.unit = unitFolder(home, '15-main');
    mkdirSync(this.unit.path);
    this.#saved = join(root, 'saved');
    this.server = new HistoryServer(join(root, 'data'), name);
    this.#settings = settingsFile(home);
    this.#options = dump(options);
    this.writeSettings();
  }

  writeSettings(): void {
    writeFileSync(this.#settings, this.#options, { mode: 0o640 });
    if (this.server.shiftSeconds === 0) return;
    const seconds = Date.now() / 1000 + this.server.shiftSeconds;
    utimesSync(this.#settings, seconds, seconds);
  }

  /** One round of an archiver: what `runResident` does where it does not pause. */
  async round(who: number, program: Program): Promise<void> {
    const rounds = (this.#archivers[who] ??= new ArchiveRounds({
      unit: this.unit,
      dataDirectory: () => Promise.resolve(this.server.dataDirectory),
      mark: noProcess,
      clock: this.clock,
      signal: new AbortController().signal,
      step: stepOfProgram,
      alive: () => undefined,
      say: () => undefined,
    }));
    try {
      await program.run(async () => {
        try {
          await rounds.push(await rounds.look(() => undefined));
        } catch (error) {
          if (!program.isDead) await rounds.giveUp(toFailure(error));
        }
      });
    } catch (error) {
      if (!program.isDead) throw error;
    }
    if (program.isDead) this.#archivers[who] = undefined;
  }

  /** The archiver ends, in good order or not, and another one starts when there is work. */
  endArchiver(who: number, leaves: boolean): void {
    if (leaves) this.#archivers[who]?.leave();
    this.#archivers[who] = undefined;
  }

  /** What the tests of `charm/bin/archive-wal` say. */
  isAcknowledged(name: string): boolean {
    const spool = join(this.unit.spool, 'archive');
    const folder = /^([0-9a-f]+) \d+ \d+\n/.exec(textOf(join(spool, 'current')))?.[1];
    if (folder === undefined) return false;
    const of = (file: string) => join(spool, folder, file);
    return (
      isSame(of('owner'), this.unit.owner) &&
      isSame(of('pin'), this.unit.pin) &&
      isSame(of('data'), this.server.dataDirectory) &&
      isNewer(this.#settings, of('settings.lo')) &&
      isNewer(of('settings.hi'), this.#settings) &&
      isNewer(this.server.pathOf(name), of(`${name}.lo`)) &&
      isNewer(of(`${name}.hi`), this.server.pathOf(name))
    );
  }

  /** The same by the front itself, with a program that only fails. */
  async front(front: string, name: string): Promise<boolean> {
    const options = { cwd: this.server.dataDirectory, reject: false };
    return (await execa(front, [this.unit.path, join('pg_wal', name), name], options)).exitCode === 0;
  }

  /** The names that have an acknowledgement or half of one. */
  acknowledged(): readonly string[] {
    const files = filesIn(join(this.unit.spool, 'archive'));
    return [...new Set(files.flatMap((file) => /^([0-9A-F].*)\.(?:lo|hi)$/.exec(basename(file))?.[1] ?? []))];
  }

  loseSpool(): void {
    rmSync(this.unit.spool, { recursive: true, force: true });
  }

  /** All programs end at once, and of what was not synced some is there afterwards, by the bits of a number. */
  cutPower(forgets: number, bits: number): void {
    this.calls += 1;
    this.#archivers.length = 0;
    this.server.forgetDone(forgets);
    for (const [index, file] of filesIn(this.unit.spool).entries()) {
      if (((bits >> (index % 30)) & 1) === 0) continue;
      if (basename(file) === 'current' && index % 2 === 0) truncateSync(file);
      else rmSync(file, { force: true });
    }
  }

  /** Keeps the spool as it is, to be put back when it is not true any more. */
  saveSpool(): void {
    copySpool(join(this.unit.spool, 'archive'), this.#saved);
  }

  putBackSpool(): void {
    copySpool(this.#saved, join(this.unit.spool, 'archive'));
  }
}

/** With the same times: links, as what is there is only ever replaced. */
function copySpool(from: string, to: string): void {
  const current = textOf(join(from, 'current'));
  const folder = current.split(' ')[0] ?? '';
  // It may name a folder that was lost while it was made.
  if (folder === '' || !existsSync(join(from, folder))) return;
  rmSync(to, { recursive: true, force: true });
  mkdirSync(join(to, folder), { recursive: true });
  writeFileSync(join(to, 'current'), current);
  for (const name of readdirSync(join(from, folder))) {
    const [old, copy] = [join(from, folder, name), join(to, folder, name)];
    if (name === 'data') symlinkSync(readlinkSync(old), copy);
    else linkSync(old, copy);
  }
}

/** The files of a spool; a link in it leads to the data directory, and is not followed. */
function filesIn(spool: string): readonly string[] {
  try {
    return readdirSync(spool, { withFileTypes: true }).flatMap((entry) => {
      const path = join(spool, entry.name);
      return entry.isDirectory() ? filesIn(path) : [path];
    });
  } catch {
    return []; // Lost.
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function statOf(path: string) {
  return statSync(path, { bigint: true, throwIfNoEntry: false });
}

/** `[ one -ef other ]` */
function isSame(one: string, other: string): boolean {
  const [a, b] = [statOf(one), statOf(other)];
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

/** `[ one -nt other ]`, where both are there */
function isNewer(one: string, other: string): boolean {
  const [a, b] = [statOf(one), statOf(other)];
  return a !== undefined && b !== undefined && a.mtimeNs > b.mtimeNs;
}
