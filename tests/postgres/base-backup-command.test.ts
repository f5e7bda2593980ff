import { describe, expect, test } from 'vitest';
import {
  baseBackupCommand,
  baseBackupDialect,
  type BaseBackupRequest,
} from '../../src/postgres/base-backup-command.ts';

const server: BaseBackupRequest = {
  label: "Anna's",
  withWal: false,
  compression: { where: 'server', level: 3, workers: 2 },
};
const own: BaseBackupRequest = { ...server, withWal: true, compression: { where: 'client', level: 3 } };

const upTo12 = "BASE_BACKUP LABEL 'Anna''s' PROGRESS FAST NOWAIT TABLESPACE_MAP";
const upTo12WithWal = "BASE_BACKUP LABEL 'Anna''s' PROGRESS FAST WAL NOWAIT TABLESPACE_MAP";
const manifest = " MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'";
const from15 =
  "BASE_BACKUP (LABEL 'Anna''s', PROGRESS true, CHECKPOINT 'fast', WAL false, WAIT false, TABLESPACE_MAP true, " +
  "MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C', COMPRESSION 'zstd', COMPRESSION_DETAIL 'level=3,workers=2', TARGET 'client')";
const from15WithWal =
  "BASE_BACKUP (LABEL 'Anna''s', PROGRESS true, CHECKPOINT 'fast', WAL true, WAIT false, TABLESPACE_MAP true, " +
  "MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C', TARGET 'client')";

describe('the command for a base backup', () => {
  test.each([
    ['9.5', 90_525, upTo12, upTo12WithWal],
    ['9.6', 90_624, upTo12, upTo12WithWal],
    ['10', 100_023, upTo12, upTo12WithWal],
    ['11', 110_022, upTo12, upTo12WithWal],
    ['12', 120_022, upTo12, upTo12WithWal],
    ['13', 130_023, upTo12 + manifest, upTo12WithWal + manifest],
    ['14', 140_020, upTo12 + manifest, upTo12WithWal + manifest],
    ['15', 150_015, from15, from15WithWal],
    ['16', 160_011, from15, from15WithWal],
    ['17', 170_007, from15, from15WithWal],
    ['18', 180_001, from15, from15WithWal],
  ])('of %s is in the grammar of that version', (_name, version, withoutWal, withWal) => {
    expect(baseBackupCommand(version, server)).toBe(withoutWal);
    expect(baseBackupCommand(version, own)).toBe(withWal);
  });

  test.each([
    [90_525, { oneCopy: false, openEndedTars: true, hasManifest: false, temporarySlots: false, serverZstd: false }],
    [100_000, { oneCopy: false, openEndedTars: true, hasManifest: false, temporarySlots: true, serverZstd: false }],
    [120_022, { oneCopy: false, openEndedTars: true, hasManifest: false, temporarySlots: true, serverZstd: false }],
    [130_000, { oneCopy: false, openEndedTars: true, hasManifest: true, temporarySlots: true, serverZstd: false }],
    [149_999, { oneCopy: false, openEndedTars: true, hasManifest: true, temporarySlots: true, serverZstd: false }],
    [150_000, { oneCopy: true, openEndedTars: false, hasManifest: true, temporarySlots: true, serverZstd: true }],
    [180_001, { oneCopy: true, openEndedTars: false, hasManifest: true, temporarySlots: true, serverZstd: true }],
  ])('of %d is answered in the form of that version', (version, dialect) => {
    expect(baseBackupDialect(version)).toEqual(dialect);
  });
});
