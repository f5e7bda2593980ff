import { onSftp } from '../setup/destinations.ts';
import { stopped, outageTest } from './outage.ts';

outageTest('an SFTP server that is stopped, sessions and all,', onSftp, stopped);
