import type { TestCluster } from '../setup/machine.ts';

/** Fills a cluster with rows of which about 4 of 5 bytes compress away, or none. */
export async function fillRows(server: TestCluster, gigabytes: number, kind: 'well' | 'badly'): Promise<void> {
  const rows = Math.round((gigabytes * 1024 ** 3) / 1050);
  const filler =
    kind === 'well'
      ? `rpad(md5(i::text) || ' landscape activity of computer ' || i % 2000, 1000, md5((i % 97)::text))`
      : `(select string_agg(md5(random()::text || i || j), '') from generate_series(1, 31) j)`;
  await server.sql(
    `create unlogged table rows (id bigint, filler text); alter table rows alter filler set storage plain;`,
  );
  await server.sql(`insert into rows select i, ${filler} from generate_series(1, ${rows}) i;`);
  await server.sql('alter table rows set logged; vacuum freeze rows; checkpoint;');
}
