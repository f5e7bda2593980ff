import { join } from 'node:path';
import { expect, test } from 'vitest';
import { withoutStep } from '../setup/without-step.ts';

test('everything durable that is done about a slot is followed by a step at which it can be killed', async () => {
  const file = join(import.meta.dirname, '..', '..', 'src', 'jobs', 'streaming.ts');
  const durable = /(?<!function )\b(recordNeededBackup|writeStreamMarker|removeStreamMarker|createSlot|dropSlot|rm)\(/;

  const { seen, without } = await withoutStep(file, durable);

  expect(seen).toBeGreaterThanOrEqual(9);
  expect(without).toEqual([]);
});
