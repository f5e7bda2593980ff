import { onS3 } from '../setup/destinations.ts';
import { outageTest } from './outage.ts';

outageTest("Ceph's S3 gateway", onS3);
