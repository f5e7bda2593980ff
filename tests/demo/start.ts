/**
 * `npm start`: the main job, told from beginning to end.
 *
 * As root: two simulated Juju models, the packed charm as real processes in machines of their own, real PostgreSQL clusters and
 * Landscape units; a disaster, and a restore on the spare to a second. As anybody else, or where the kernel gives no namespaces:
 * the engine alone. The last line says what came back; the exit code is 0 only when that is true.
 */
import { execa } from 'execa';
import { setup } from '../setup/global.ts';
import { tellCharm } from './charm.ts';
import { tellEngine } from './engine.ts';
import { say } from './narrator.ts';

/** Why no simulated machine can be made here; `undefined` where it can. */
async function whyNoMachines(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'only root can make simulated machines';
  const { exitCode } = await execa('unshare', ['--mount', '--pid', '--fork', 'true'], { reject: false });
  return exitCode === 0 ? undefined : 'this kernel, or the container around us, gives no namespaces';
}

const removeRuntime = await setup();
try {
  const why = await whyNoMachines();
  if (why !== undefined)
    say(`(${why}: this is the story of the engine alone, without Juju; as root it is the charm's)\n`);
  process.exitCode = (await (why === undefined ? tellCharm() : tellEngine())) ? 0 : 1;
} finally {
  await removeRuntime();
}
