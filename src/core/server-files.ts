import { Failure } from './failure.ts';

/**
 * The system identifier at the beginning of `global/pg_control`. Fails with `damaged` when there are too few bytes.
 *
 * Source: ControlFileData in pg_control.h, its first member from 9.5 to 18 (little-endian, as on amd64 and arm64).
 */
export function readSystemIdentifier(controlFile: Uint8Array): string {
  if (controlFile.byteLength < 8) throw new Failure('damaged', 'pg_control is cut off');
  return new DataView(controlFile.buffer, controlFile.byteOffset, 8).getBigUint64(0, true).toString();
}

/**
 * Tells whether a `recovery.conf` (below 12) asks for a standby; the last line that says so counts.
 *
 * Source: recovery-config.sgml of PostgreSQL 11; a Boolean may be cut short (`t`, `y`), `=` and quotes may be missing.
 */
export function asksForStandby(recoveryConf: string): boolean {
  const lines = [...recoveryConf.matchAll(/^[ \t]*standby_mode(?:[ \t]*=[ \t]*|[ \t]+)'?([a-z0-9]+)'?/gim)];
  return /^(on|1|t|tr|tru|true|y|ye|yes)$/i.test(lines.at(-1)?.[1] ?? '');
}

/**
 * The unit (`15-main`) whose configuration a server was started with, by its `postmaster.opts`; `undefined` when it was not
 * started the way of postgresql-common, `config_file=…/<version>/<cluster>/postgresql.conf`.
 */
export function unitOfServer(postmasterOptions: string): string | undefined {
  const file = /"(?:-c" ?"|--)config[_-]file=([^"]*)"/.exec(postmasterOptions)?.[1];
  const match = /\/(\d+(?:\.\d+)?)\/([^/]+)\/postgresql\.conf$/.exec(file ?? '');
  return match === null ? undefined : `${match[1] ?? ''}-${match[2] ?? ''}`;
}
