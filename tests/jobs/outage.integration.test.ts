import { onSftp } from '../setup/destinations.ts';
import { outageTest } from './outage.ts';

outageTest('an SFTP server', onSftp);
