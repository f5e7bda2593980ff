import { expect, test } from 'vitest';
import { ManifestWriter } from '../../../src/postgres/low-level/manifest-writer.ts';
import { ManifestReader } from '../../../src/postgres/manifest-reader.ts';

const range = { timeline: 3, startLsn: 0x1_0200_0028n, endLsn: 0x1_0200_0100n };
const at = new Date('2026-11-25T09:09:32.700Z');

function textOf(writer: ManifestWriter): string {
  return Buffer.concat([...writer.finish(range)]).toString();
}

test('a manifest is what PostgreSQL 15 writes for the same files', () => {
  const writer = new ManifestWriter(1, '7');
  writer.add({ path: 'backup_label', sizeBytes: 225, crc: 0xc973c518 }, at);
  writer.add({ path: 'tablespace_map', sizeBytes: 0, crc: 0 }, at);

  expect(textOf(writer).split('"Manifest-Checksum"')[0]).toBe(`{ "PostgreSQL-Backup-Manifest-Version": 1,
"Files": [
{ "Path": "backup_label", "Size": 225, "Last-Modified": "2026-11-25 09:09:32 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "18c573c9" },
{ "Path": "tablespace_map", "Size": 0, "Last-Modified": "2026-11-25 09:09:32 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "00000000" }
],
"WAL-Ranges": [
{ "Timeline": 3, "Start-LSN": "1/2000028", "End-LSN": "1/2000100" }
],
`);
});

test('its second format names the cluster', () => {
  expect(textOf(new ManifestWriter(2, '7512345678901234567'))).toMatch(
    /^{ "PostgreSQL-Backup-Manifest-Version": 2,\n"System-Identifier": 7512345678901234567,\n"Files": \[\n\],\n/,
  );
});

test('a manifest of very many files is read back row by row, whatever their names', async () => {
  const writer = new ManifestWriter(1, '7');
  const rows = Array.from({ length: 20_000 }, (_, index) => ({
    path: `base/16384/${index} "é\\`,
    sizeBytes: index,
    crc: (index * 2_654_435_761) % 4_294_967_296,
  }));
  for (const row of rows) writer.add(row, at);
  const reader = new ManifestReader(
    (async function* () {
      yield* writer.finish(range);
    })(),
  );

  for (const row of rows) expect(await reader.take(row.path)).toEqual(row);
  await reader.finish();
});
