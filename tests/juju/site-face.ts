import { mkdir } from 'node:fs/promises';
import { makeSiteMachine, type SiteMachine } from '../site/machine.ts';
import type { Execute } from './simulator/execute.ts';
import { ProcessFace } from './simulator/processes.ts';
import type { MachineState } from './simulator/state.ts';

/** Juju's machines as simulated Linux machines: charms run in them, with /var/lib/juju and juju-exec where Juju has them. */
export interface SiteFace {
  readonly face: ProcessFace;
  /** The Linux of a machine; made when it is first asked for. */
  siteOf(machine: MachineState): Promise<SiteMachine>;
  close(): Promise<void>;
}

export interface SiteFaceOptions {
  /** A short path of the host for what is /var/lib/juju on machines. */
  readonly directory: string;
  /** Directories of the host that a machine mounts besides. */
  readonly shared?: (machine: MachineState) => Readonly<Record<string, string>>;
}

/** Makes it; nothing of it outlives this process. */
export function makeSiteFace({ directory, shared = () => ({}) }: SiteFaceOptions): SiteFace {
  const sites = new Map<MachineState, Promise<SiteMachine>>();
  const make = async (machine: MachineState): Promise<SiteMachine> => {
    const juju = face.directoryOf(machine);
    await mkdir(juju, { recursive: true });
    const name = `${machine.model.name}-${machine.id}`;
    const site = await makeSiteMachine({ name, shared: { '/var/lib/juju': juju, ...shared(machine) } });
    const { execProgram } = machine.model.behaviour;
    await site.run(['ln', '-sfn', `/var/lib/juju/bin/${execProgram}`, `/usr/bin/${execProgram}`]);
    return site;
  };
  const siteOf = async (machine: MachineState): Promise<SiteMachine> => {
    const site = sites.get(machine) ?? make(machine);
    sites.set(machine, site);
    return await site;
  };
  const face = new ProcessFace({
    directory,
    seenAs: () => '/var/lib/juju',
    execute: (machine) => async (argv, options) => await executeOn(await siteOf(machine))(argv, options),
  });
  return {
    face,
    siteOf,
    close: async () => {
      await face.close();
      for (const site of sites.values()) await (await site).destroy();
      sites.clear();
    },
  };
}

/** No hook of ours takes as long. */
const timeoutMs = 600_000;
let runs = 0;

/** Runs programs on a simulated machine: each leads a session of its own, whose process id says whom to kill. */
function executeOn(site: SiteMachine): Execute {
  return async (argv, { env, cwd, timeout = timeoutMs, signal }) => {
    runs += 1;
    const note = `/run/juju-run-${runs}`;
    const lead = ['setsid', 'sh', '-c', 'echo $$ >"$0"; exec "$@" </dev/null', note, ...argv] as const;
    const stop = () => {
      const whom = signal?.reason === 'abort' ? '"$pid"' : '-- -"$pid"';
      // A machine that lost its power has nobody left to kill.
      void site.execute(['sh', '-c', `read pid <${note} && kill -s KILL ${whom}`]).catch(() => undefined);
    };
    signal?.addEventListener('abort', stop, { once: true });
    try {
      const { exitCode, stdout, stderr } = await site.execute([...lead], { env, cwd, timeoutMs: timeout });
      return { exitCode, signal: exitCode === 137 ? 'SIGKILL' : null, stdout, stderr };
    } finally {
      signal?.removeEventListener('abort', stop);
      await site.execute(['rm', '-f', note]).catch(() => undefined);
    }
  };
}
