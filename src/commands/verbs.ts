import { backup } from './backup.ts';
import { createRestorePoint } from './create-restore-point.ts';
import { init } from './init.ts';
import { leave } from './leave.ts';
import type { Verb } from './program.ts';
import { takeOver } from './take-over.ts';

/** All verbs, in the order of `--help`. */
export const verbs: readonly Verb[] = [init, backup, createRestorePoint, takeOver, leave];
