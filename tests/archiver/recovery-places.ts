import { readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { RecoveryProgram } from './recovery-machine.ts';

const temporary = /^data\/pg_wal\/\.landscape-backup\.[0-9a-f]+\.tmp$/;

/** Where each program may write, below the machine's root. */
const mayWrite = {
  prefetch: [/^home\/15-main\/spool\/restore(\/|$)/, temporary],
  'restore-wal': [
    temporary,
    /^data\/pg_wal\/RECOVERYXLOG$/,
    /^home\/15-main\/restore(\/(last-failure\.json|\.last-failure\.json\.[0-9a-f]+\.tmp))?$/,
  ],
} as const;

/** Fails where a program writes what is not its own. */
export function proveMayWrite(root: string, by: RecoveryProgram, path: string): void {
  const below = relative(root, path);
  if (mayWrite[by.is === 'prefetch' ? by.is : 'restore-wal'].some((pattern) => pattern.test(below))) return;
  throw new Error(`${by.is} writes ${below}`);
}

/** All files below a folder, with their sizes. */
export function filesBelow(folder: string): readonly { readonly path: string; readonly sizeBytes: number }[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return filesBelow(path);
      const stats = statSync(path, { throwIfNoEntry: false });
      return stats === undefined ? [] : [{ path, sizeBytes: stats.size }];
    });
  } catch {
    return []; // Lost.
  }
}
