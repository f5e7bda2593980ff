import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Backup } from '../../../src/core/backup.ts';
import { takeBackup } from '../../../src/jobs/backup.ts';
import { backupContext, makeArchivedCluster, type ArchivedCluster } from '../../setup/archived-cluster.ts';
import type { Destinations, StartDestinations } from '../../setup/destinations.ts';
import { chooseSeed } from '../../setup/kill-backups.ts';
import { killRestores } from '../../setup/kill-restores.ts';
import { becomeOwner, type TestCluster } from '../../setup/machine.ts';

/** The test that kills so many restores; its name tells the seed, and SEED repeats it. */
export function killRestoreTest(name: string, start: StartDestinations, times: number): void {
  describe(`a restore from ${name}`, () => {
    let destinations: Destinations;
    let archived: ArchivedCluster;
    let spare: TestCluster;
    let backup: Backup;
    let rows: string;
    const seed = chooseSeed();

    beforeAll(async () => {
      becomeOwner();
      destinations = await start();
      archived = await makeArchivedCluster({ destination: await destinations.add() });
      await archived.server.sql('create table t as select n, md5(n::text) from generate_series(1, 20000) n');
      backup = await takeBackup(backupContext(archived), { trigger: 'person' });
      await archived.server.sql('delete from t where n > 15000');
      await archived.server.sql('insert into t select n, md5(n::text) from generate_series(30000, 60000) n');
      rows = await archived.server.sql(`select count(*) || ' ' || md5(string_agg(t::text, ',' order by t)) from t`);
      await archived.server.stop();
      spare = await archived.machine.createCluster('spare');
      await spare.start();
      await spare.sql('create table mine as select 1 as one');
    });
    afterAll(async () => {
      await archived.repository.storage.close();
      await archived.machine.destroy();
      await destinations.stop();
    });

    test(
      `that is killed ${times} times goes on or is abandoned, and either is right (SEED=${seed})`,
      async () => {
        expect(rows).toMatch(/^45001 /);
        await killRestores(archived, spare, backup, { times, seed, rows });
      },
      300_000 + times * 120_000,
    );
  });
}
