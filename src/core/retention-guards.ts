import type { Judged } from './retention-judge.ts';
import type { Clocks, RetentionRequest } from './retention-plan.ts';

/** How far clocks may be apart before none of them is believed. */
const clockToleranceMs = 5 * 60 * 1000;

/** Why nothing may expire now. */
export function planRefusals(request: RetentionRequest, judged: readonly Judged[]): readonly string[] {
  return [...unreadable(request), ...clockFaults(request.clocks, judged), ...backupFaults(request, judged)];
}

function unreadable({ incarnations }: RetentionRequest): readonly string[] {
  return incarnations.flatMap(({ unfinished, leases }) => [
    ...unfinished.flatMap(({ id, unreadable: reason }) =>
      reason === undefined
        ? []
        : [`the record of backup ${id} can not be read (${reason}), so nobody knows what it needs`],
    ),
    ...leases.flatMap(({ key, lease }) =>
      lease === undefined ? [`the lease ${key} can not be read, so nobody knows what it protects`] : [],
    ),
  ]);
}

function clockFaults(clocks: Clocks, judged: readonly Judged[]): readonly string[] {
  const { host, server, destination } = clocks;
  const faults: string[] = [];
  const compare = (name: string, time: Date): void => {
    const apart = Math.abs(time.getTime() - host.getTime());
    if (apart > clockToleranceMs) {
      faults.push(`the clocks disagree: this machine says ${host.toISOString()}, ${name} ${time.toISOString()}`);
    }
  };
  compare('PostgreSQL', server);
  compare('the destination', destination);
  if (Math.abs(server.getTime() - destination.getTime()) > clockToleranceMs) {
    faults.push(
      `the clocks disagree: PostgreSQL says ${server.toISOString()}, the destination ${destination.toISOString()}`,
    );
  }
  for (const { backup } of judged) {
    if (backup.stoppedAt.getTime() - host.getTime() > clockToleranceMs) {
      faults.push(`backup ${backup.id} ended in the future, at ${backup.stoppedAt.toISOString()}: a clock was wrong`);
    }
  }
  return faults;
}

function backupFaults({ scheduledAt }: RetentionRequest, judged: readonly Judged[]): readonly string[] {
  if (scheduledAt === undefined || judged.length === 0) return [];
  const newest = judged.findLast(({ uncounted }) => uncounted === undefined)?.backup;
  if (newest === undefined) return ['there is no good backup of the current timeline'];
  if (newest.startedAt >= scheduledAt) return [];
  return [
    `backups fail or are missed: the schedule wanted one at ${scheduledAt.toISOString()}, the newest good one is of ${newest.startedAt.toISOString()}`,
  ];
}
