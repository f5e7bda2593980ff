import { describe, expect, test } from 'vitest';
import { judgeName, relationFileNumber } from '../../../src/postgres/low-level/exclusions.ts';

const database = 'base/16384';
const inTablespace = 'PG_15_202209061/16384';
const taken = { is: 'taken' };
const leftOut = { is: 'left out' };
const beside = (name: string) => ({ is: 'left out beside', name });

describe('what a base backup reads', () => {
  test.each([
    ['', 'PG_VERSION', taken],
    ['', 'base', taken],
    ['', 'postgresql.auto.conf', taken],
    ['', 'postgresql.auto.conf.tmp', leftOut],
    ['', 'postmaster.pid', leftOut],
    ['', 'postmaster.opts', leftOut],
    ['', 'backup_label', leftOut],
    ['', 'backup_label.old', taken],
    ['', 'tablespace_map', leftOut],
    ['', 'backup_manifest', leftOut],
    ['', 'pg_notify', { is: 'emptied' }],
    ['', 'pg_replslot', { is: 'emptied' }],
    ['', 'pg_stat', taken],
    ['', 'pg_stat_tmp', { is: 'emptied' }],
    ['', 'pgsql_tmp.landscape-backup-old-abc', leftOut],
    ['global', 'pg_internal.init', leftOut],
    ['global', '1262', taken],
    [database, 'pg_internal.init.4711', leftOut],
    [database, 'pgsql_tmp4711.0', leftOut],
    [database, 'pg_filenode.map', taken],
    [database, '16385', beside('16385_init')],
    [database, '16385.1', beside('16385_init')],
    [database, '16385_fsm', beside('16385_init')],
    [database, '16385_vm.2', beside('16385_init')],
    [database, '16385_init', taken],
    [database, 't3_16385', leftOut],
    [database, 't3_16385_fsm.1', leftOut],
    [inTablespace, '16385', beside('16385_init')],
    [inTablespace, 't3_16385', leftOut],
    ['log', '16385', taken],
    ['base', '16384', taken],
  ])('of %j takes %j as the server does', (directory, name, judgement) => {
    expect(judgeName(directory, name)).toEqual(judgement);
  });

  test.each([
    [database, '16385', 0],
    [database, '16385.12', 12],
    [inTablespace, '16385_vm.2', 2],
    ['global', '1262_fsm', 0],
    ['global', 'pg_filenode.map', undefined],
    [database, 'PG_VERSION', undefined],
    ['log', '16385', undefined],
  ])('of %j knows whether %j has pages with checksums', (directory, name, number) => {
    expect(relationFileNumber(directory, name)).toBe(number);
  });
});
