import { isFailure, toFailure } from '../core/failure.ts';
import type { CharmSettings } from '../core/charm-settings.ts';
import { s3Endpoint, s3Request } from '../core/s3-relation.ts';
import { agreedOwner, agreedRepository, reconcileJobs } from '../core/reconcile.ts';
import type { UnitFacts } from '../core/site.ts';
import type { ApplicationBag } from '../core/unit-bag.ts';
import type { HookTools } from '../juju/hook-tools.ts';
import type { JujuEnvironment } from '../juju/environment.ts';
import { applicationFields, unitFields } from './bags.ts';
import { endIfFinished, takeRestoreTurn, type RestoreTurn } from './restore-stage.ts';
import { readSnapshot, settingsOf, type Snapshot } from './snapshot.ts';
import { identityOf, publishedFacts, siteOf } from './site-facts.ts';
import { setStatus } from './status.ts';
import type { UnitMachine } from './unit-machine.ts';

/**
 * Brings this unit in line with everything that Juju and its machine say, and publishes what it is. Run at the end of every
 * hook and action: nothing is remembered from one to the next, and doing it twice changes nothing.
 */
export async function reconcile(
  environment: JujuEnvironment,
  tools: HookTools,
  machine: UnitMachine,
): Promise<Snapshot> {
  const snapshot = await readSnapshot(environment, tools, machine);
  const application = agree(snapshot);
  const settings = settingsOf(snapshot, application.repository?.id);
  const settingsChanged = await applySettings(machine, settings);
  await machine.identify(identityOf(snapshot));
  await keepArchiver(tools, machine, snapshot);
  const facts = publishedFacts(snapshot);
  await machine.writeSite(siteOf(snapshot, facts, machine.now()));
  const turn = await takeRestoreTurn(snapshot, tools, machine);
  const started = await startJobs(tools, machine, { ...snapshot, application }, settingsChanged, turn);
  await publish(tools, snapshot, application, facts, turn);
  await askForStore(tools, snapshot);
  // A look takes a second of the machine's lock: only where something is other than it was a moment ago.
  const isChanged = settingsChanged || started;
  const after = isChanged ? { ...snapshot, local: await machine.look(snapshot.roles) } : snapshot;
  await setStatus(tools, { snapshot: { ...after, application }, settings, turn });
  return after;
}

/** What the leader says for all; everybody else takes what the leader has said. */
function agree({ isLeader, application, own, others, local }: Snapshot): ApplicationBag {
  if (!isLeader) return application;
  const bags = [{ ...own, ...ownWord(local) }, ...others.values()];
  return {
    ...application,
    repository: agreedRepository(
      application.repository,
      bags.map(({ repository }) => repository),
    ),
    owner: agreedOwner(application.owner, bags),
  };
}

/** What this unit's machine says of its place in the repository. */
function ownWord({ cluster }: Snapshot['local']) {
  const repository = cluster?.pin ?? undefined;
  const owner = cluster?.standing?.is === 'owner' ? (cluster.owner ?? undefined) : undefined;
  return { repository, owner };
}

/** Options that can't be used change nothing: the last good ones stay in force. */
async function applySettings(machine: UnitMachine, settings: CharmSettings): Promise<boolean> {
  if (!settings.ok) return false;
  const isOther = await machine.keepCredentials(settings.credentials);
  if ((await machine.readSettings()) === settings.text) return isOther;
  await machine.writeSettings(settings.text);
  return true;
}

/** Everything is archived without it too, so what stands in its way is told and holds up nothing. */
async function keepArchiver(tools: HookTools, machine: UnitMachine, { roles, local }: Snapshot): Promise<void> {
  const label = local.cluster?.cluster?.label;
  // Where the cluster could not be asked, the one that runs is left alone.
  if (label === undefined && roles.includes('postgresql')) return;
  try {
    await machine.keepArchiver(label);
  } catch (error) {
    await tools.log(
      'WARNING',
      `the resident archiver is as it was: ${toFailure(error).message}; WAL is archived without it, the next hook tries again`,
    );
  }
}

/** Tells whether it started any. */
async function startJobs(
  tools: HookTools,
  machine: UnitMachine,
  { roles, application, local }: Snapshot,
  settingsChanged: boolean,
  turn: RestoreTurn | undefined,
): Promise<boolean> {
  let started = false;
  const isRestoring = turn !== undefined && !turn.intent.ended;
  for (const argv of reconcileJobs({ roles, application, cluster: local.cluster, settingsChanged, isRestoring })) {
    try {
      await machine.jobs.start(argv);
      started = true;
    } catch (error) {
      // One that runs already does it; what else is in the way is told by the status of what was not done.
      if (!isFailure(error, 'busy')) await tools.log('WARNING', `${argv.join(' ')}: ${toFailure(error).message}`);
    }
  }
  return started;
}

/** A store's charm of the first form answers only who asks; that it is one is seen when it had the time to say more. */
async function askForStore(tools: HookTools, { environment, config, offer, isLeader }: Snapshot): Promise<void> {
  if (offer === undefined || !isLeader) return;
  const relation = `${s3Endpoint}:${offer.id}`;
  const { event } = environment;
  const hasJustCome = event.kind === 'hook' && new RegExp(`^${s3Endpoint}-relation-(created|joined)$`).test(event.name);
  const isAnswerDue = !hasJustCome && (await tools.relationUnits(relation)).length > 0;
  await tools.relationSet(relation, 'app', s3Request(config['destination'], offer, isAnswerDue));
}

async function publish(
  tools: HookTools,
  snapshot: Snapshot,
  application: ApplicationBag,
  facts: UnitFacts,
  turn: RestoreTurn | undefined,
): Promise<void> {
  const { peers, isLeader, local } = snapshot;
  if (peers === undefined) return;
  const { repository, owner } = ownWord(local);
  await tools.relationSet(peers, 'unit', {
    ...unitFields.facts.write(facts),
    ...unitFields.repository.write(repository),
    ...unitFields.owner.write(owner),
    ...unitFields.progress.write(turn?.progress),
  });
  if (!isLeader) return;
  await tools.relationSet(peers, 'app', {
    ...applicationFields.repository.write(application.repository),
    ...applicationFields.owner.write(application.owner),
    ...applicationFields.restore.write(turn === undefined ? undefined : endIfFinished(snapshot, turn)),
  });
}
