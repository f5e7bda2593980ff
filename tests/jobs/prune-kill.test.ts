import { pruneKillTests } from './prune-kill.ts';

pruneKillTests(5, 20261124);
