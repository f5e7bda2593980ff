import { killRestoreTest } from './kill-restore.ts';

killRestoreTest(5);
