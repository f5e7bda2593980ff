import { expect } from 'vitest';

/** Stands for any text that holds this one; vitest's own has the type `any`. */
export function containing(text: string): unknown {
  return expect.stringContaining(text);
}
