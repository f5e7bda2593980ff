import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const lib = join(process.env['LANDSCAPE_BACKUP_TEST_RUNTIME'] ?? '', 'lib');

// Every hook starts several programs, and each reads its bundle as a whole: `import { z }` or a package's file for CommonJS
// brings in what nobody calls.
test('the bundles carry no messages of zod in other languages, and no other checksum than the one in use', async () => {
  const names = (await readdir(lib)).filter((name) => name.endsWith('.js'));
  expect(names).toContain('landscape-backup.js');
  const bundles = await Promise.all(names.map(async (name) => await readFile(join(lib, name), 'utf8')));
  expect(bundles.filter((text) => text.includes('Ungültige Eingabe'))).toEqual([]);
  const compiled = bundles.flatMap((text) => text.match(/"AGFzbQ/g) ?? []);
  expect(compiled).toHaveLength(1);
});
