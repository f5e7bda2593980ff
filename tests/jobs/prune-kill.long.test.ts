import { onDisk, onS3, onSftp } from '../setup/destinations.ts';
import { pruneKillTests } from './prune-kill.ts';

/** A new one each time; the names of the tests tell it, and PRUNE_KILL_SEED repeats it. */
const seed = Number(process.env['PRUNE_KILL_SEED'] ?? Date.now() % 1_000_000_007);

pruneKillTests('a directory', onDisk, 50, seed);
pruneKillTests('an SFTP server', onSftp, 10, seed);
pruneKillTests("Ceph's S3 gateway", onS3, 10, seed);
