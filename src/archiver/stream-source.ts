import type { Lsn } from '../core/lsn.ts';
import type { TimelineSwitch } from '../core/timeline.ts';
import type { ResidentArchiver } from './resident.ts';
import type { StreamSteps } from './wal-steps.ts';

/** Where a server is that WAL is streamed from. */
export interface StreamLook {
  readonly timeline: number;
  readonly history: readonly TimelineSwitch[];
  /** Where it writes now. */
  readonly lsn: Lsn;
  readonly segmentSize: number;
  /** From where on it keeps WAL for the slot; `undefined` where it keeps none, and `why` says why nothing is streamed. */
  readonly slotLsn: Lsn | undefined;
  readonly why: string | undefined;
}

/** A program that receives WAL into a folder. */
export interface Receiver {
  readonly ended: Promise<{ readonly stderr: string }>;
  kill(signal: NodeJS.Signals): void;
}

/** The server that WAL is streamed from, as the archiver knows it. */
export interface StreamSource {
  /** Where the server's own WAL lies. */
  readonly walFolder: string;
  readonly dataDirectory: string;
  look(slot: string): Promise<StreamLook>;
  /** Begins to receive; whoever else receives from the slot is ended first. */
  receive(slot: string, folder: string): Promise<Receiver>;
}

/** What a stream works for. */
export type ResidentStream = Pick<ResidentArchiver, 'unit' | 'clock' | 'signal' | 'say'> & {
  /** The server as it is now; asked anew whenever receiving begins. */
  readonly source: () => Promise<StreamSource>;
  readonly step: StreamSteps;
};
