/** What becomes of a name that is found where a base backup reads. */
export type Judgement =
  | { readonly is: 'taken' }
  | { readonly is: 'left out' }
  /** The directory, or the link to one, is there in the backup, and empty. */
  | { readonly is: 'emptied' }
  /** Left out if this name lies beside it: then it belongs to an unlogged relation, which starts empty after recovery. */
  | { readonly is: 'left out beside'; readonly name: string };

const emptied: ReadonlySet<string> = new Set([
  'pg_stat_tmp',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_subtrans',
]);
const leftOut: ReadonlySet<string> = new Set([
  'postgresql.auto.conf.tmp',
  'current_logfiles.tmp',
  'backup_label',
  'tablespace_map',
  'backup_manifest',
  'postmaster.pid',
  'postmaster.opts',
]);
const leftOutBeginnings = ['pgsql_tmp', 'pg_internal.init'];
/** Where relations lie: `base/<database>`, `<version of a tablespace>/<database>`. */
const databaseDirectory = /^(base|PG_[^/]+)\/\d+$/;
const relationFile = /^(\d+)(?:_(fsm|vm|init))?(?:\.\d+)?$/;
const temporaryFile = /^t\d+_\d+(?:_(?:fsm|vm|init))?(?:\.\d+)?$/;

/**
 * Decides about a name in a directory of the data directory (`''`: the data directory itself) or of a tablespace, as the
 * server does for `BASE_BACKUP`. WAL, `pg_control` and tablespaces' links are the caller's.
 *
 * Source: excludeDirContents, excludeFiles and sendDir in PostgreSQL's basebackup.c.
 */
export function judgeName(directory: string, name: string): Judgement {
  if (leftOut.has(name) || leftOutBeginnings.some((beginning) => name.startsWith(beginning))) return { is: 'left out' };
  if (emptied.has(name)) return { is: 'emptied' };
  if (!databaseDirectory.test(directory)) return { is: 'taken' };
  if (temporaryFile.test(name)) return { is: 'left out' };
  const [, relation, fork] = relationFile.exec(name) ?? [];
  if (relation === undefined || fork === 'init') return { is: 'taken' };
  return { is: 'left out beside', name: `${relation}_init` };
}

/** The number of a relation's file whose pages carry checksums (`16384_vm.2`: 2); `undefined` for every other file. */
export function relationFileNumber(directory: string, name: string): number | undefined {
  if (directory !== 'global' && !databaseDirectory.test(directory)) return undefined;
  return relationFile.test(name) ? Number(/\.(\d+)$/.exec(name)?.[1] ?? 0) : undefined;
}
