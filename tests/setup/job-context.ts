import { parseSettings } from '../../src/core/settings.ts';
import type { JobContext } from '../../src/jobs/job-context.ts';
import { unitFolder } from '../../src/system/home.ts';
import type { Machine, TestCluster } from './machine.ts';

/** The start of a job on a cluster of a private machine; `options` are those of the settings file. */
export async function jobContext(
  machine: Machine,
  server: TestCluster,
  options: Readonly<Record<string, unknown>> = {},
): Promise<JobContext> {
  const cluster = await server.look();
  return {
    home: machine.home,
    runtime: machine.runtime,
    settings: parseSettings({ destination: machine.destination, ...options }),
    cluster,
    unit: unitFolder(machine.home, cluster.unit),
    clock: { now: () => new Date() },
    identity: { model: 'test-model', application: 'test-host', unit: cluster.unit },
    control: {
      start: async () => {
        await server.start();
      },
      stop: async () => {
        await server.stop();
      },
    },
  };
}
