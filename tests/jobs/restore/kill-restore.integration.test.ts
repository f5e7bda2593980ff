import { onDisk, onSftp } from '../../setup/destinations.ts';
import { killRestoreTest } from './kill-restore.ts';

killRestoreTest('a directory', onDisk, 5);
killRestoreTest('an SFTP server', onSftp, 3);
