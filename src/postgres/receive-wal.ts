import { join } from 'node:path';
import { streamApplication } from '../core/streaming.ts';
import { start, type Running } from '../system/process.ts';
import type { Cluster } from './cluster.ts';

/** It holds the lock for as long as it lives, so that a second one never writes beside it, whoever has started it. */
const script = `exec 9>"$1" && shift && flock --exclusive --nonblock 9 || { echo 'an earlier pg_receivewal still runs' >&2; exit 1; }
exec "$@"`;

/**
 * Starts `pg_receivewal`: it writes what a slot keeps into a folder, `<segment>.partial` until a segment is complete, and ends
 * when the connection does.
 */
export function startReceiver(cluster: Cluster, slot: string, folder: string): Running {
  const at = `host=${quoted(cluster.socketDirectory)} port=${cluster.port} application_name=${streamApplication}`;
  const receive = [join(cluster.binaries, 'pg_receivewal'), '-d', at, '-D', folder, '-S', slot, '-n', '-w', '-s', '5'];
  return start('sh', ['-c', script, 'sh', `${folder}.lock`, ...receive], { cwd: '/', env: { LC_ALL: 'C' } });
}

function quoted(text: string): string {
  return `'${text.replaceAll(/(['\\])/g, String.raw`\$1`)}'`;
}
