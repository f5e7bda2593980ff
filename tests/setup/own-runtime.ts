import { chmod, cp, mkdir, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { writeAtomically } from '../../src/system/files.ts';
import type { Machine } from './machine.ts';

/** A runtime that a test may break: fronts and bundles are copies, Node is a link. */
export interface OwnRuntime {
  readonly path: string;
  /** Breaks the bundle of a program in a way, runs something, and mends it whatever that did. */
  broken<T>(program: string, fault: BundleFault, work: () => Promise<T>): Promise<T>;
}

/** Ways in which a program ends without having done its work. */
export const bundleFaults = {
  'the bundle is missing': undefined,
  'the bundle has a syntax error': (bundle: string) => `${bundle}\n}{`,
  'the bundle throws before main': (bundle: string) => `throw new Error('broken');\n${bundle}`,
  'the event loop is drained with a promise pending': () => 'void new Promise(() => undefined);',
  'the program waits for a promise that nobody settles': () => 'await new Promise(() => undefined);',
  'the program exits with 0': () => 'process.exit(0);',
  'an error is thrown where nobody catches it': (bundle: string) =>
    `setTimeout(() => { throw new Error('uncaught'); }, 1);\nawait new Promise((done) => setTimeout(done, 50));\n${bundle}`,
  'a rejection is handled by nobody': (bundle: string) =>
    `void Promise.reject(new Error('unhandled'));\nawait new Promise((done) => setTimeout(done, 50));\n${bundle}`,
  'Node is killed': () => `process.kill(process.pid, 'SIGKILL');`,
  'the front is killed': () =>
    `process.kill(process.ppid, 'SIGKILL');\nawait new Promise((done) => setTimeout(done, 50));`,
  'Node runs out of memory': () => 'const all = []; for (;;) all.push(new Array(100000).fill(all.length));',
} as const satisfies Record<string, ((bundle: string) => string) | undefined>;
export type BundleFault = keyof typeof bundleFaults;

/** Copies the runtime into a machine. */
export async function makeOwnRuntime(machine: Machine): Promise<OwnRuntime> {
  const path = join(machine.root, 'runtime');
  await mkdir(join(path, 'bin'), { recursive: true });
  await cp(join(machine.runtime, 'lib'), join(path, 'lib'), { recursive: true });
  for (const front of ['archive-wal', 'restore-wal']) {
    await cp(join(machine.runtime, 'bin', front), join(path, 'bin', front));
    await chmod(join(path, 'bin', front), 0o755);
  }
  await symlink(join(machine.runtime, 'bin', 'node'), join(path, 'bin', 'node'));
  return {
    path,
    broken: async (program, fault, work) => {
      const bundle = join(path, 'lib', `${program}.js`);
      const whole = await readFile(bundle, 'utf8');
      const change = bundleFaults[fault];
      // A program that starts in that moment finds the one or the other: an empty bundle would be a fault of its own.
      const replace = async (text: string) => {
        await writeAtomically(bundle, text, 0o644);
      };
      if (change === undefined) await rm(bundle);
      else await replace(change(whole));
      try {
        return await work();
      } finally {
        await replace(whole);
      }
    },
  };
}
