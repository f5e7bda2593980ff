import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ProcessMark } from '../../src/core/job.ts';
import { markOf } from '../../src/system/process-mark.ts';

/** How recovery calls. */
export interface FrontCall {
  readonly dataDirectory: string;
  readonly unit: string;
  readonly path: string;
  readonly name: string;
}

/**
 * The front as it is shipped, in a shell that is there already, and with a program that asks this process what it would say. Of
 * the processes that prefetchers are nothing is there but a number that `kill` ends.
 */
export class RealFront {
  readonly #shell: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #bodies = new Set<ChildProcess>();

  constructor(front: string) {
    // Each call in a shell of its own, as far as it can tell.
    const loop = `while read -r dir unit path name; do
      (cd "$dir" && set -- "$unit" "$path" "$name" && . "$0")
      echo "exit $?"
    done`;
    this.#shell = spawn('sh', ['-c', loop, front], { stdio: ['pipe', 'pipe', 'inherit'] });
    const { stdout } = this.#shell;
    if (stdout === null) throw new Error('a shell without output');
    this.#lines = createInterface(stdout)[Symbol.asyncIterator]();
  }

  /** Puts the front in its place below a folder; gives back its path. */
  static async install(root: string): Promise<string> {
    const bin = join(root, 'bin');
    const front = join(bin, 'restore-wal');
    await mkdir(bin);
    await cp(join(import.meta.dirname, '..', '..', 'charm', 'bin', 'restore-wal'), front);
    await writeFile(join(bin, 'node'), '#!/bin/sh\necho program\nread -r code\nexit "$code"\n');
    await chmod(join(bin, 'node'), 0o755);
    return front;
  }

  /** The exit code; `program` says that of the program behind it, and is called when it comes to that. */
  async call(call: FrontCall, program: () => Promise<number>): Promise<number> {
    this.#shell.stdin?.write(`${call.dataDirectory} ${call.unit} ${call.path} ${call.name}\n`);
    let line = await this.#line();
    if (line === 'program') {
      this.#shell.stdin?.write(`${await program()}\n`);
      line = await this.#line();
    }
    return Number(/^exit (\d+)$/.exec(line)?.[1] ?? Number.NaN);
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('the shell has ended');
    return value;
  }

  /** A process that a prefetcher can call its own. */
  async body(): Promise<{ readonly mark: ProcessMark; kill(): Promise<void> }> {
    const body = spawn('sleep', ['10000'], { stdio: 'ignore' });
    const ended = new Promise<void>((resolve) => {
      body.on('exit', () => {
        this.#bodies.delete(body);
        resolve();
      });
    });
    this.#bodies.add(body);
    const mark = await markOf(body.pid ?? -1);
    if (mark === undefined) throw new Error('a process has ended that sleeps');
    return {
      mark,
      kill: async () => {
        body.kill('SIGKILL');
        await ended;
      },
    };
  }

  end(): void {
    this.#shell.stdin?.end();
    for (const body of this.#bodies) body.kill('SIGKILL');
  }
}
