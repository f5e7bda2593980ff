import type { IncarnationCatalogue } from './catalogue.ts';

/** Why a complete backup should not be restored from, as its marks say; `undefined` when nothing speaks against it. */
export function backupFault(incarnation: IncarnationCatalogue, backupId: string): string | undefined {
  const marks = incarnation.marks.get(backupId) ?? [];
  for (const mark of marks) {
    if (mark?.mark === 'deleting') return 'it is being deleted';
    if (mark?.mark === 'damaged') return `it is marked as damaged: ${mark.why}`;
  }
  return marks.includes(undefined) ? 'one of its marks cannot be read' : undefined;
}
