import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { verbs } from '../../src/commands/verbs.ts';

const source = join(import.meta.dirname, '..', '..', 'src');
let map = '';

beforeAll(async () => {
  map = await readFile(join(source, 'README.md'), 'utf8');
});

/** The rows of the table below a heading, as their cells. */
function rowsBelow(heading: string): readonly (readonly string[])[] {
  const from = map.indexOf(heading);
  const table = map.slice(map.indexOf('\n|', from) + 1).split('\n\n')[0] ?? '';
  const lines = table.split('\n').slice(2);
  return lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

describe('the map', () => {
  test('has every room, and no other', async () => {
    const rooms = (await readdir(source, { withFileTypes: true })).filter((entry) => entry.isDirectory());
    const told = rowsBelow('# The map').map(([room = '']) => room.replaceAll(/[`/]/g, ''));
    expect(told.toSorted()).toEqual(rooms.map(({ name }) => name).toSorted());
  });

  test('says of every program who runs it and what it reads and writes', async () => {
    const files = (await readdir(join(source, 'main'))).filter((name) => name.endsWith('.ts'));
    const rows = rowsBelow('## Who runs as whom');
    for (const program of files.map((name) => name.replace('.ts', ''))) {
      const row = rows.find(([name = '']) => name.includes(`\`${program}\``));
      expect(row?.length, program).toBe(5);
      for (const cell of row ?? []) expect(cell, program).not.toBe('');
    }
  });

  test('says that verbs of root are root’s, and that the others are the cluster owner’s', () => {
    const rows = rowsBelow('## Who runs as whom');
    const whoRuns = (part: string) => rows.filter(([name = '']) => name.includes(part)).map(([, , who]) => who);
    expect(new Set(whoRuns('a verb of root'))).toEqual(new Set(['root']));
    expect(rows.find(([name]) => name === '`landscape-backup`')?.[2]).toBe("the cluster's owner");
    for (const { name, as } of verbs) {
      const told = whoRuns(`\`${name}\``);
      if (told.length > 0) expect(told, name).toEqual([as === 'root' ? 'root' : "the cluster's owner"]);
    }
  });
});
