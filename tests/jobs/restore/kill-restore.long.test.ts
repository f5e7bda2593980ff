import { onDisk, onS3, onSftp } from '../../setup/destinations.ts';
import { killRestoreTest } from './kill-restore.ts';

killRestoreTest('a directory', onDisk, 50);
killRestoreTest('an SFTP server', onSftp, 10);
killRestoreTest("Ceph's S3 gateway", onS3, 10);
