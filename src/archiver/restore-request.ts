import type { UnitFolder } from '../system/home.ts';

/** What PostgreSQL asks `restore-wal` for. */
export interface RestoreRequest {
  readonly unit: UnitFolder;
  /** Where the server runs; `path` is relative to it. */
  readonly dataDirectory: string;
  /** `%p` */
  readonly path: string;
  /** `%f` */
  readonly name: string;
  /** Tells whether the front that started us still waits. */
  readonly isWanted: () => boolean;
}

/** `absent` is proven: PostgreSQL takes it for the end of the WAL. */
export type Served = 'served' | 'absent';
