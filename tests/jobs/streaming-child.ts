/**
 * `streaming-child.ts <home> <runtime> <cluster> <verb> <step>`: a job about the slot of a cluster's stream that kills itself
 * when it comes to that step.
 */
import { configure } from '../../src/jobs/configure.ts';
import { openSettingsRepository, openSettingsStorage, type JobContext } from '../../src/jobs/job-context.ts';
import { leaveCluster } from '../../src/jobs/leave.ts';
import { guardSlot } from '../../src/jobs/streaming.ts';
import { listClusters } from '../../src/postgres/cluster.ts';
import { machineClock } from '../../src/system/clock.ts';
import { readSettings, unitFolder } from '../../src/system/home.ts';

const [home = '', runtime = '', label = '', verb = '', deadly = ''] = process.argv.slice(2);
const cluster = (await listClusters()).find((each) => each.label === label);
if (cluster === undefined) throw new Error(`there is no cluster ${label}`);
const noRestart = () => Promise.reject(new Error('nothing here needs a restart'));
const context: JobContext = {
  home,
  runtime,
  settings: await readSettings(home),
  cluster,
  unit: unitFolder(home, cluster.unit),
  clock: machineClock,
  identity: { model: 'test-model', application: 'test-host', unit: cluster.unit },
  control: { start: noRestart, stop: noRestart },
  step: (step) => {
    if (step === deadly) process.kill(process.pid, 'SIGKILL');
  },
};

async function configureIt(): Promise<void> {
  const storage = await openSettingsStorage(context);
  await configure(context, await openSettingsRepository(context, storage));
  await storage.close();
}

if (verb === 'configure') await configureIt();
else if (verb === 'guard') await guardSlot(context, 1);
else await leaveCluster(context);
