import { killRestoreTest } from './kill-restore.ts';

killRestoreTest(50);
