import { onDisk, onS3, onSftp } from '../setup/destinations.ts';
import { killArchiveWalTest } from './kill-story.ts';

killArchiveWalTest('a directory', onDisk, { rounds: 360, killed: 200, storedUnsaid: 1 });
killArchiveWalTest('an SFTP server', onSftp, { rounds: 60, killed: 20 });
killArchiveWalTest("Ceph's S3 gateway", onS3, { rounds: 60, killed: 20 });
