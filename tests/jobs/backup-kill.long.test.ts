import { onDisk, onS3, onSftp } from '../setup/destinations.ts';
import { backupKillTests } from './backup-kill.ts';

backupKillTests('a directory', onDisk, { times: 50 });
backupKillTests('an SFTP server', onSftp, { times: 12, lowLevel: true });
backupKillTests("Ceph's S3 gateway", onS3, { times: 12, lowLevel: true });
