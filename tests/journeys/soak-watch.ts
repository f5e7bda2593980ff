import { readdirSync, readFileSync, statSync, type Dirent } from 'node:fs';
import { join } from 'node:path';
import type { UnitFolder } from '../../src/system/home.ts';

/** What was seen at most of an archiver and of what it keeps on this machine. */
export interface Seen {
  samples: number;
  residentMiB: number;
  descriptors: number;
  spoolFiles: number;
  unitBytes: number;
  rejected: number;
}

/** Looks again and again at an archiver's process, which may be another one each time, and at its unit's folder. */
export class Watch {
  readonly seen: Seen = { samples: 0, residentMiB: 0, descriptors: 0, spoolFiles: 0, unitBytes: 0, rejected: 0 };
  readonly #unit: UnitFolder;
  readonly #pid: () => number | undefined;
  readonly #timer: NodeJS.Timeout;

  constructor(unit: UnitFolder, pid: () => number | undefined) {
    this.#unit = unit;
    this.#pid = pid;
    this.#timer = setInterval(() => this.look(), 250);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  look(): void {
    const { seen } = this;
    const files = filesIn(this.#unit.path);
    seen.samples += 1;
    seen.residentMiB = Math.max(seen.residentMiB, this.#residentMiB());
    seen.descriptors = Math.max(seen.descriptors, this.descriptors());
    seen.spoolFiles = Math.max(seen.spoolFiles, this.spoolFiles());
    seen.rejected = Math.max(seen.rejected, filesIn(this.#unit.rejected).length);
    seen.unitBytes = Math.max(
      seen.unitBytes,
      files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    );
  }

  /** How many files and sockets the archiver has open now; 0 where none runs. */
  descriptors(): number {
    try {
      return readdirSync(`/proc/${this.#pid()}/fd`).length;
    } catch {
      return 0;
    }
  }

  spoolFiles(): number {
    return filesIn(this.#unit.spool).length;
  }

  #residentMiB(): number {
    try {
      const status = readFileSync(`/proc/${this.#pid()}/status`, 'utf8');
      return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
    } catch {
      return 0;
    }
  }
}

/** The files below a folder; what goes while it is looked at counts for nothing. */
function filesIn(folder: string): readonly { readonly path: string; readonly sizeBytes: number }[] {
  let entries: readonly Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesIn(path);
    const sizeBytes = entry.isFile() ? (statSync(path, { throwIfNoEntry: false })?.size ?? 0) : 0;
    return [{ path, sizeBytes }];
  });
}
