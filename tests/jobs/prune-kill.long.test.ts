import { pruneKillTests } from './prune-kill.ts';

/** A new one each time; the name of the test tells it, and PRUNE_KILL_SEED repeats it. */
const seed = Number(process.env['PRUNE_KILL_SEED'] ?? Date.now() % 1_000_000_007);

pruneKillTests(50, seed);
