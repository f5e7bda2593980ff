import { execa } from 'execa';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { endBefore, endOfRecord, parseLsn } from '../../src/core/lsn.ts';
import { becomeOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';

const segmentSize = 2 ** 20;

let machine: Machine;
let server: TestCluster;

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
  server = await machine.createCluster('main', { segmentMiB: 1, settings: { wal_keep_size: '500MB' } });
  await server.start();
});
afterAll(async () => {
  await machine.destroy();
});

interface Found {
  readonly start: bigint;
  readonly length: number;
  readonly text: string;
}

test('every record that PostgreSQL wrote ends where we say, and the next one tells the same end', async () => {
  await server.sql(`
    create table t (id int, body text);
    insert into t select n, repeat(md5(n::text), n % 60) from generate_series(1, 20000) n;
    create index on t (id);
    checkpoint;
    update t set id = id + 1 where id % 3 = 0;`);
  await server.stop();

  const found = await dump();

  let compared = 0;
  for (const [index, record] of found.entries()) {
    const next = found[index + 1];
    // After a switch the rest of the segment is left empty, so its end is not where the next record tells.
    if (next === undefined || /desc: SWITCH/.test(record.text)) continue;
    const told = endBefore(next.start, segmentSize);
    if (endOfRecord(record.start, record.length, segmentSize) !== told) throw new Error(`${record.text}\n${next.text}`);
    compared += 1;
  }
  expect(compared).toBeGreaterThan(20_000);
  const overPages = found.filter(({ start, length }) => start / 8192n !== (start + BigInt(length)) / 8192n);
  expect(overPages.length).toBeGreaterThan(500);
});

/** All records of the cluster, as pg_waldump tells them. */
async function dump(): Promise<readonly Found[]> {
  const wal = join(server.cluster.dataDirectory, 'pg_wal');
  const begin = (await readdir(wal)).filter((name) => /^[0-9A-F]{24}$/.test(name)).toSorted()[0] ?? '';
  const args = ['-p', wal, '--start', `0/${(Number.parseInt(begin.slice(16), 16) * segmentSize).toString(16)}`];
  const { stdout } = await execa(join(server.cluster.binaries, 'pg_waldump'), args, { reject: false, maxBuffer: 1e9 });
  return stdout.split('\n').flatMap((text) => {
    const match = /len \(rec\/tot\):\s*\d+\/\s*(\d+),.*lsn: ([0-9A-F]+\/[0-9A-F]+),/.exec(text);
    return match === null ? [] : [{ start: parseLsn(match[2] ?? ''), length: Number(match[1]), text }];
  });
}
