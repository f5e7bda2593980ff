import { onDisk, onSftp } from '../setup/destinations.ts';
import { pruneKillTests } from './prune-kill.ts';

pruneKillTests('a directory', onDisk, 5, 20261124);
pruneKillTests('an SFTP server', onSftp, 2, 20261125);
