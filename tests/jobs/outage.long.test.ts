import { onS3, onSftp } from '../setup/destinations.ts';
import { cut, outageTest } from './outage.ts';

outageTest("Ceph's S3 gateway", onS3, cut);
outageTest('an SFTP server', onSftp, cut);
