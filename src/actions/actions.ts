import { abandonRestore } from './abandon-restore.ts';
import type { Action } from './action.ts';
import { backup } from './backup.ts';
import { check } from './check.ts';
import { copyRepository } from './copy-repository.ts';
import { createRestorePoint } from './create-restore-point.ts';
import { init } from './init.ts';
import { listBackups } from './list-backups.ts';
import { prune } from './prune.ts';
import { removeOld } from './remove-old.ts';
import { restore } from './restore.ts';
import { rewrap } from './rewrap.ts';
import { status } from './status.ts';
import { takeOver } from './take-over.ts';

/** All actions, in the order of `actions.yaml`; a test holds both together. */
export const actions: readonly Action[] = [
  backup,
  listBackups,
  restore,
  abandonRestore,
  removeOld,
  init,
  check,
  prune,
  copyRepository,
  rewrap,
  createRestorePoint,
  takeOver,
  status,
];
