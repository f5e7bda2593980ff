import { expect, test } from 'vitest';
import { restorePointNameFault } from '../../src/core/restore-point-name.ts';

test.each([
  ['before-upgrade-25.10', undefined],
  ['a', undefined],
  ['x'.repeat(63), undefined],
  ['x'.repeat(64), 'it has 64 characters, at most 63 are kept by PostgreSQL'],
  ['', 'it is empty'],
  ['-rf', 'only letters, digits, ".", "_" and "-" may be used, a letter or digit first'],
  ['two words', 'only letters, digits, ".", "_" and "-" may be used, a letter or digit first'],
  ['ä', 'only letters, digits, ".", "_" and "-" may be used, a letter or digit first'],
])('the name "%s"', (name, fault) => {
  expect(restorePointNameFault(name)).toBe(fault);
});
