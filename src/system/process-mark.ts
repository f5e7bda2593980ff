import type { ProcessMark } from '../core/job.ts';
import { readText } from './files.ts';

/**
 * What tells a process from every other, before and after: its number, and when it started in which boot. `undefined` when
 * there is none, or only what is left of one that nobody has waited for.
 */
export async function markOf(pid: number): Promise<ProcessMark | undefined> {
  const stat = await readText(`/proc/${pid}/stat`).catch(() => undefined); // It ended while it was read.
  // The name may hold blanks and parentheses; what follows its last parenthesis does not.
  const [state, ...fields] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  if (state === undefined || state === 'Z' || state === 'X') return undefined;
  const ticks = fields[18];
  if (ticks === undefined) return undefined;
  const boot = (await readText('/proc/sys/kernel/random/boot_id'))?.trim() ?? '';
  return { pid, startTime: `${boot}:${ticks}` };
}

/** Tells whether the very process still runs; another with its number does not count. */
export async function isRunning(mark: ProcessMark): Promise<boolean> {
  return (await markOf(mark.pid))?.startTime === mark.startTime;
}
