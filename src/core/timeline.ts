import { Failure } from './failure.ts';
import { readLsn, type Lsn } from './lsn.ts';
import { segmentOf } from './wal-name.ts';

/** Where a timeline left its parent. */
export interface TimelineSwitch {
  readonly parent: number;
  readonly at: Lsn;
}

/**
 * Reads a `.history` file: oldest ancestor first, each with the LSN where its child left it.
 *
 * Lines are `<parent>\t<LSN>\t<reason>`; empty ones and comments don't count. Source: timeline.c, readTimeLineHistory.
 */
export function parseHistory(text: string, name: string): readonly TimelineSwitch[] {
  const switches: TimelineSwitch[] = [];
  for (const line of text.split('\n')) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const [parentText = '', lsnText = ''] = trimmed.split(/\s+/);
    const parent = /^\d{1,10}$/.test(parentText) ? Number(parentText) : 0;
    const at = readLsn(lsnText);
    const last = switches.at(-1);
    if (parent < 1 || at === undefined || (last !== undefined && parent <= last.parent)) {
      throw new Failure('damaged', `the history file ${name} has a line that is none: "${trimmed}"`);
    }
    switches.push({ parent, at });
  }
  return switches;
}

/** A stretch of one timeline on the way from a timeline's beginning to its end, in segment numbers. */
export interface TimelinePiece {
  readonly timeline: number;
  /** The first segment that is named after this timeline. */
  readonly firstSegment: number;
  /** The last one; `undefined` on the newest timeline of the path. */
  readonly lastSegment: number | undefined;
  /** Where this timeline ends on the path; `undefined` on the newest. */
  readonly until: Lsn | undefined;
}

/**
 * The path to a timeline: which timeline's name each segment carries, oldest piece first.
 *
 * The segment in which a timeline begins carries the child's name and holds its parent's bytes up to the switch.
 * A switch in the very segment where the parent itself began leaves that parent no segment of its own on the path.
 */
export function timelinePath(
  timeline: number,
  history: readonly TimelineSwitch[],
  segmentSize: number,
): readonly TimelinePiece[] {
  const pieces: TimelinePiece[] = [];
  let firstSegment = 0;
  for (const { parent, at } of history) {
    const switchSegment = segmentOf(at, segmentSize);
    if (switchSegment > firstSegment) {
      pieces.push({ timeline: parent, firstSegment, lastSegment: switchSegment - 1, until: at });
      firstSegment = switchSegment;
    }
  }
  pieces.push({ timeline, firstSegment, lastSegment: undefined, until: undefined });
  return pieces;
}

/** The timeline whose name a segment carries on a path. */
export function timelineOfSegment(path: readonly TimelinePiece[], segment: number): number | undefined {
  return path.find((piece) => segment >= piece.firstSegment && segment <= (piece.lastSegment ?? Infinity))?.timeline;
}
