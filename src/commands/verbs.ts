import { backup } from './backup.ts';
import { init } from './init.ts';
import type { Verb } from './program.ts';

/** All verbs, in the order of `--help`. */
export const verbs: readonly Verb[] = [init, backup];
