import { encrypted, onDisk, onSftp } from '../setup/destinations.ts';
import { killArchiveWalTest } from './kill-story.ts';

killArchiveWalTest('a directory', onDisk, { rounds: 20, killed: 1 });
killArchiveWalTest('a directory, encrypted,', encrypted(onDisk), { rounds: 20, killed: 1 });
killArchiveWalTest('an SFTP server', onSftp, { rounds: 10, killed: 1 });
