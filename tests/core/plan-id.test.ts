import fc from 'fast-check';
import { load } from 'js-yaml';
import { expect, test } from 'vitest';
import { isPlanId, planIdOf } from '../../src/core/plan-id.ts';

const digits = (...of: string[]) => fc.string({ unit: fc.constantFrom(...of), minLength: 64, maxLength: 64 });
const hexadecimal = digits(...Array.from('0123456789abcdef'));

test.each([
  ['any digest', hexadecimal],
  ['one of decimal digits', digits('0', '1', '9')],
  ['one that reads as a number with an exponent', digits('1', '2', 'e')],
])('the id of %s is text, whoever reads it as YAML', (_what, digest) => {
  fc.assert(
    fc.property(digest, (text) => {
      const id = planIdOf(text);

      expect(load(id)).toBe(id);
      expect(isPlanId(id)).toBe(true);
    }),
  );
});

test.each(['', '0123456789abcdef', 'a123', 'a123456789abcdefa', 'A123456789abcdef', '../a456789abcdef0'])(
  '"%s" is no plan\'s id',
  (text) => {
    expect(isPlanId(text)).toBe(false);
  },
);
