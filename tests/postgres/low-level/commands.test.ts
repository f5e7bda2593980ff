import { describe, expect, test } from 'vitest';
import { lowLevelCommands } from '../../../src/postgres/low-level/commands.ts';

const stopped =
  "SELECT lsn::text AS lsn, convert_to(coalesce(labelfile, ''), getdatabaseencoding()) AS label, " +
  "convert_to(coalesce(spcmapfile, ''), getdatabaseencoding()) AS map FROM ";
const startBefore15 = 'SELECT pg_start_backup($1, true, false)::text AS lsn';
const startFrom15 = 'SELECT pg_backup_start(label => $1, fast => true)::text AS lsn';
const stop10to14 = `${stopped}pg_stop_backup(false, false)`;
const stopFrom15 = `${stopped}pg_backup_stop(wait_for_archive => false)`;

describe('the commands of the low-level API', () => {
  test.each([
    ['9.6', 90_624, startBefore15, `${stopped}pg_stop_backup(false)`],
    ['10', 100_023, startBefore15, stop10to14],
    ['11', 110_022, startBefore15, stop10to14],
    ['12', 120_022, startBefore15, stop10to14],
    ['13', 130_023, startBefore15, stop10to14],
    ['14', 140_020, startBefore15, stop10to14],
    ['15', 150_015, startFrom15, stopFrom15],
    ['16', 160_011, startFrom15, stopFrom15],
    ['17', 170_007, startFrom15, stopFrom15],
    ['18', 180_001, startFrom15, stopFrom15],
  ])('of %s begin and end a backup that ends with its session', (_name, version, start, stop) => {
    expect(lowLevelCommands(version)).toMatchObject({ start, stop });
  });

  test.each([
    [90_624, { hasManifest: false, manifestVersion: 1, walDirectories: ['pg_xlog', 'pg_xlog/archive_status'] }],
    [100_023, { hasManifest: false, manifestVersion: 1, walDirectories: ['pg_wal', 'pg_wal/archive_status'] }],
    [120_022, { hasManifest: false, manifestVersion: 1, walDirectories: ['pg_wal', 'pg_wal/archive_status'] }],
    [130_023, { hasManifest: true, manifestVersion: 1, walDirectories: ['pg_wal', 'pg_wal/archive_status'] }],
    [160_011, { hasManifest: true, manifestVersion: 1, walDirectories: ['pg_wal', 'pg_wal/archive_status'] }],
    [
      170_007,
      {
        hasManifest: true,
        manifestVersion: 2,
        walDirectories: ['pg_wal', 'pg_wal/archive_status', 'pg_wal/summaries'],
      },
    ],
  ])('of %d go with what that version writes', (version, form) => {
    expect(lowLevelCommands(version)).toMatchObject(form);
  });

  test('speak of WAL by the names of their version', () => {
    expect(lowLevelCommands(90_624)).toMatchObject({
      identify: expect.stringContaining('pg_xlogfile_name(pg_current_xlog_location())'),
      timeline: expect.stringContaining('pg_xlogfile_name($1)'),
      reserveWal: undefined,
      prepare: ['SET statement_timeout = 0'],
    });
    expect(lowLevelCommands(140_020)).toMatchObject({
      identify: expect.stringContaining('pg_walfile_name(pg_current_wal_lsn())'),
      timeline: expect.stringContaining('pg_walfile_name($1)'),
      reserveWal: expect.stringContaining('pg_create_physical_replication_slot($1, true, true)'),
      prepare: ['SET statement_timeout = 0', 'SET idle_session_timeout = 0'],
    });
  });

  test('are none before 9.6: its backups outlive their session', () => {
    expect(lowLevelCommands(90_525)).toBeUndefined();
  });
});
