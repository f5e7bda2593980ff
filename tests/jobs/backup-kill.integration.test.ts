import { encrypted, onDisk, onSftp } from '../setup/destinations.ts';
import { backupKillTests } from './backup-kill.ts';

backupKillTests('a directory', onDisk, { times: 5, lowLevel: true });
backupKillTests('a directory, encrypted', encrypted(onDisk), { times: 5 });
backupKillTests('an SFTP server', onSftp, { times: 3 });
