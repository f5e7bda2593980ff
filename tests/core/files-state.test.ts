import { describe, expect, test } from 'vitest';
import { whyFilesAreDue, type FilesDueFacts, type FilesState } from '../../src/core/files-state.ts';

const at = (text: string) => new Date(`2026-11-24T${text}:00Z`);

function why(state: FilesState | undefined, changes: Partial<FilesDueFacts> = {}): string | undefined {
  const schedule = { expression: '0 2 * * *', zone: 'UTC' };
  return whyFilesAreDue({ state, schedule, now: at('02:30'), hostZone: 'UTC', ...changes });
}

function keptAt(checkedAt: Date, failed: FilesState['failed'] = null): FilesState {
  return { format: 1, kept: { id: 'a', takenAt: checkedAt, checkedAt, count: 1, missing: [] }, failed };
}

function failure(times: number, when: Date): FilesState['failed'] {
  return { times, at: when, message: 'no route', hint: null };
}

describe('a unit’s files', () => {
  test('are due when they have never been kept, and after each time of the schedule', () => {
    expect(why(undefined)).toContain('2026-11-24T02:00:00.000Z');
    expect(why(keptAt(at('01:59')))).toBeDefined();
    expect(why(keptAt(at('02:01')))).toBeUndefined();
  });

  test('are never due without a schedule', () => {
    expect(why(undefined, { schedule: undefined })).toBeUndefined();
  });

  test('are looked at although a wrong clock has kept them in the future', () => {
    expect(why(keptAt(at('23:00')))).toBeDefined();
  });

  test.each([
    [1, at('02:26'), false],
    [1, at('02:25'), true],
    [3, at('02:11'), false],
    [3, at('02:10'), true],
    [20, new Date('2026-11-23T20:31:00Z'), false],
    [20, new Date('2026-11-23T20:30:00Z'), true],
    [9, at('03:00'), true],
  ])('that could not be kept %i times, last at %s, are tried again: %s', (times, when, expected) => {
    expect(why(keptAt(at('01:00'), failure(times, when))) !== undefined).toBe(expected);
  });
});
