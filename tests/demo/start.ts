/**
 * `npm start`: the main job, told from beginning to end.
 *
 * As root: two simulated Juju models, the packed charm as real processes in machines of their own, real PostgreSQL clusters and
 * Landscape units; a disaster, and a restore on the spare to a second. As anybody else, or where the kernel gives no namespaces:
 * the engine alone. With `-- --destination sftp` or `-- --destination s3` the repository lies on a real OpenSSH server or in a
 * real Ceph behind its S3 gateway, with `-- --encrypted` encrypted to a key that production never sees; those are the charm's
 * story only. The last line says what came back; the exit code is 0 only when that is true.
 */
import { execa } from 'execa';
import { parseArgs } from 'node:util';
import { newAgeKey } from '../setup/age.ts';
import { setup } from '../setup/global.ts';
import { tellCharm } from './charm.ts';
import { kinds } from './destination.ts';
import { tellEngine } from './engine.ts';
import { say } from './narrator.ts';

/** Why no simulated machine can be made here; `undefined` where it can. */
async function whyNoMachines(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'only root can make simulated machines';
  const { exitCode } = await execa('unshare', ['--mount', '--pid', '--fork', 'true'], { reject: false });
  return exitCode === 0 ? undefined : 'this kernel, or the container around us, gives no namespaces';
}

async function tell(): Promise<boolean> {
  const { values } = parseArgs({
    options: { destination: { type: 'string', default: 'directory' }, encrypted: { type: 'boolean', default: false } },
  });
  const kind = kinds.find((each) => each === values.destination);
  if (kind === undefined) throw new Error(`--destination ${values.destination} is none of ${kinds.join(', ')}`);
  const why = await whyNoMachines();
  if (why === undefined) return await tellCharm(kind, values.encrypted ? newAgeKey() : undefined);
  if (kind !== 'directory') throw new Error(`${why}, and only there the story is told with --destination ${kind}`);
  if (values.encrypted) throw new Error(`${why}, and only there the story is told with --encrypted`);
  say(`(${why}: this is the story of the engine alone, without Juju; as root it is the charm's)\n`);
  return await tellEngine();
}

const removeRuntime = await setup();
try {
  process.exitCode = (await tell()) ? 0 : 1;
} finally {
  await removeRuntime();
}
