import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import type { Destinations, StartDestinations } from '../setup/destinations.ts';
import { changeRules, legacyRules } from '../setup/hba.ts';
import { chooseSeed, killBackups } from '../setup/kill-backups.ts';
import { becomeOwner } from '../setup/machine.ts';

/** The tests that kill so many backups; their names tell the seed, and SEED repeats it. */
export function backupKillTests(
  name: string,
  start: StartDestinations,
  { times, lowLevel = false }: { times: number; lowLevel?: boolean },
): void {
  describe(`backups to ${name}`, () => {
    let destinations: Destinations;
    let archived: ArchivedCluster;
    const seed = chooseSeed();

    beforeAll(async () => {
      becomeOwner();
      destinations = await start();
      archived = await makeArchivedCluster({ destination: await destinations.add() });
      await archived.server.sql(
        'CREATE TABLE t (n int, what text); INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 50000) n',
      );
    });
    afterAll(async () => {
      await archived.repository.storage.close();
      await archived.machine.destroy();
      await destinations.stop();
    });

    const limitMs = 300_000 + times * 60_000;

    test(
      `one that is killed at any instant lies about nothing (SEED=${seed})`,
      async () => {
        await killBackups(archived, times, seed);

        expect(await archived.server.sql('SELECT count(*) FROM t')).toBe(String(50_000 + times));
      },
      limitMs,
    );

    if (!lowLevel) return;

    test(
      `so does one that reads the files itself, where pg_hba.conf refuses replication (SEED=${seed})`,
      async () => {
        await changeRules(archived.server, archived.cluster, legacyRules);
        await killBackups(archived, times, seed);

        expect(await archived.server.sql('SELECT count(*) FROM t')).toBe(String(50_000 + 2 * times));
      },
      limitMs,
    );
  });
}
