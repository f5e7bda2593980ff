import { abandonRestore } from './abandon-restore.ts';
import { adoptOwner } from './adopt-owner.ts';
import { backup } from './backup.ts';
import { backupFiles } from './backup-files.ts';
import { checkFiles } from './check-files.ts';
import { check } from './check.ts';
import { clusterFacts } from './cluster-facts.ts';
import { configure } from './configure.ts';
import { copyRepository } from './copy-repository.ts';
import { createRestorePoint } from './create-restore-point.ts';
import { facts } from './facts.ts';
import { initFiles } from './init-files.ts';
import { init } from './init.ts';
import { landscapeFacts } from './landscape-facts.ts';
import { abandonFiles, landscapeCheck, quiesce, resume, verifyFiles } from './landscape-stages.ts';
import { keepPlan, runDueFiles, unfence } from './landscape-upkeep.ts';
import { leave } from './leave.ts';
import { listBackups } from './list-backups.ts';
import { listFiles } from './list-files.ts';
import type { Verb } from './program.ts';
import { prune } from './prune.ts';
import { removeOldFiles } from './remove-old-files.ts';
import { removeOld } from './remove-old.ts';
import { restore } from './restore.ts';
import { restoreFiles } from './restore-files.ts';
import { rewrapFiles } from './rewrap-files.ts';
import { rewrap } from './rewrap.ts';
import { runDue } from './run-due.ts';
import { runJob } from './run-job.ts';
import { status } from './status.ts';
import { takeOver } from './take-over.ts';

/** All verbs, in the order of `--help`. */
export const verbs: readonly Verb[] = [
  status,
  listBackups,
  restore,
  abandonRestore,
  removeOld,
  init,
  check,
  backup,
  createRestorePoint,
  prune,
  copyRepository,
  rewrap,
  takeOver,
  runDue,
  configure,
  leave,
  facts,
  clusterFacts,
  adoptOwner,
  runJob,
  backupFiles,
  removeOldFiles,
  rewrapFiles,
  initFiles,
  checkFiles,
  listFiles,
  landscapeFacts,
  restoreFiles,
  landscapeCheck,
  quiesce,
  verifyFiles,
  resume,
  abandonFiles,
  unfence,
  runDueFiles,
  keepPlan,
];
