import { InvalidArgumentError, Option } from 'commander';
import type { Backup } from '../core/backup.ts';
import { Failure } from '../core/failure.ts';
import { formatLsn } from '../core/lsn.ts';
import { parseTarget } from '../core/parse-target.ts';
import { planText } from '../core/plan-text.ts';
import { restorePlanSchema, type KeptPlan } from '../core/restore-plan.ts';
import { confirmPlan } from '../jobs/confirm-plan.ts';
import { keepPlan } from '../jobs/kept-plans.ts';
import type { RestoreRequest } from '../jobs/plan-context.ts';
import { planRestore } from '../jobs/plan-restore.ts';
import { withKeptIdentities } from '../jobs/restore/kept-identities.ts';
import { isUnderWay, readRestore, readRestoreState } from '../jobs/restore/restore-state.ts';
import { doneBefore, runRestore, type Restored } from '../jobs/restore/run-restore.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import type { Repository } from '../repository/repository.ts';
import type { UnitFolder } from '../system/home.ts';
import type { Context } from './context.ts';
import { fromEither, fromPlanned, refuseClaimAt } from './either-repository.ts';
import { identityFileOption, withIdentityFile } from './identity-file.ts';
import type { Result } from './output.ts';
import { flag, numberOption, textOption, type Verb } from './program.ts';

/** `restore`: prints a plan, or runs one that was printed. */
export const restore: Verb = {
  name: 'restore',
  summary: 'bring a cluster back: prints the plan, --confirm runs it',
  help: `Without --confirm nothing is changed: the plan is printed, with its id, after every WAL segment that it needs has been
fetched and verified. With --confirm exactly that plan runs, or it is refused and the new one is printed.
A restore that was interrupted goes on with the same --confirm, or --continue; or it is undone with
landscape-backup abandon-restore.

  landscape-backup restore --to time=2026-11-24T02:59:00Z
  landscape-backup restore --to time=2026-11-24T02:59:00Z --confirm=<plan id>
  landscape-backup restore --to name=before-upgrade --in-place
  landscape-backup restore --to end --tablespace-map /srv/ts1=/mnt/ts1`,
  options: [
    new Option('--to <target>', 'end, backup, time=<RFC 3339 with zone>, name=…, xid=… or lsn=…').default('end'),
    new Option('--exclusive', 'stop before the time, transaction or LSN itself'),
    new Option('--backup <id>', 'start from this backup instead of the newest one that serves'),
    new Option('--timeline <number>', 'follow this timeline instead of the newest'),
    new Option('--incarnation <number>', 'restore this line of the cluster instead of the newest'),
    new Option('--system-identifier <id>', 'which cluster of the repository, when it holds several'),
    new Option('--in-place', 'overwrite the very cluster that this line belongs to; it goes on as its owner'),
    new Option('--take-over', 'make the restored cluster the owner of a new line before its first start'),
    new Option('--discard-old', 'delete what is there instead of moving it aside'),
    new Option('--tablespace-map <old=new>', 'where a tablespace goes (path or OID = path); may be repeated')
      .argParser(collectMap)
      .default({}, 'each to its own path'),
    new Option('--credentials <whose>', 'whose passwords the roles keep')
      .choices(['spare', 'production'])
      .default('spare'),
    new Option(
      '--files-from <unit=model/unit>',
      "whose files a Landscape unit gets, where it isn't plain; may be repeated",
    ).argParser(collectSources),
    new Option(
      '--other-units-stopped',
      'with --confirm and without Juju: Landscape is stopped on the other units, as far as you can tell',
    ),
    new Option('--check', 'with --confirm: only look whether that plan still stands, and change nothing'),
    new Option('--confirm <plan id>', 'run the plan that was printed with this id'),
    identityFileOption,
    new Option('--continue', 'go on with the restore that was interrupted on this unit'),
  ],
  run: async (asked, options) => {
    const underWay = await restoreUnderWay(asked.unit);
    const given = await withIdentityFile(asked, options);
    const context = underWay === undefined ? given : await withKeptIdentities(given);
    const id = textOption(options, 'confirm');
    const goesOn = underWay !== undefined && (flag(options, 'continue') || id === underWay.id);
    if (id === undefined && !flag(options, 'continue')) {
      return await fromEither(context, async (repository, from) => {
        const request = requestOf(options);
        refuseClaimAt(from, request.inPlace || request.takeOver);
        return await printPlan(context, repository, request);
      });
    }
    return await fromPlanned(context, goesOn ? underWay : id, async (repository) => {
      if (underWay !== undefined && flag(options, 'check') && id === underWay.id) return stands(underWay);
      if (goesOn) {
        return done(
          context,
          await runRestore({ ...context, repository }, underWay, await backupOf(repository, underWay)),
        );
      }
      if (id === undefined || flag(options, 'continue')) throw nothingToContinue();
      // The stage of a restore over several units may be run twice, also where its end was not heard of.
      const before = flag(options, 'otherUnitsStopped') ? await doneBefore(context.unit, id) : undefined;
      if (before !== undefined) return done(context, before);
      const confirmed = await confirmPlan({ ...context, repository }, id);
      if (!confirmed.stands) return await refuse(context, repository, id, confirmed);
      if (flag(options, 'check')) return stands(confirmed.kept);
      if (!flag(options, 'otherUnitsStopped')) refuseOtherUnits(confirmed.kept);
      return done(context, await runRestore({ ...context, repository }, confirmed.kept, confirmed.backup));
    });
  },
};

function collectMap(value: string, before: Record<string, string>): Record<string, string> {
  const at = value.indexOf('=');
  if (at < 1 || !value.slice(at + 1).startsWith('/'))
    throw new InvalidArgumentError('it must be <old path or OID>=/new/path');
  return { ...before, [value.slice(0, at)]: value.slice(at + 1) };
}

function collectSources(value: string, before: Record<string, string> | undefined): Record<string, string> {
  const [, unit, source] = /^([^=]+)=([^/=]+\/[^/=]+\/\d+)$/.exec(value) ?? [];
  if (unit !== undefined && source !== undefined) return { ...before, [unit]: source };
  throw new InvalidArgumentError(
    'it must be <unit>=<model>/<unit of then>: landscape-server/0=production/landscape-server/2',
  );
}

function requestOf(options: Readonly<Record<string, unknown>>): RestoreRequest {
  return {
    target: parseTarget(textOption(options, 'to') ?? 'end', flag(options, 'exclusive')),
    backup: textOption(options, 'backup'),
    timeline: numberOption(options, 'timeline', '--timeline'),
    incarnation: numberOption(options, 'incarnation', '--incarnation'),
    systemIdentifier: textOption(options, 'systemIdentifier'),
    inPlace: flag(options, 'inPlace'),
    discardOld: flag(options, 'discardOld'),
    takeOver: flag(options, 'takeOver'),
    tablespaceMap: mapOf(options['tablespaceMap']),
    credentials: textOption(options, 'credentials') === 'production' ? 'production' : 'spare',
    filesFrom: mapOf(options['filesFrom']),
  };
}

function mapOf(value: unknown): Record<string, string> {
  return isMap(value) ? value : {};
}

function isMap(value: unknown): value is Record<string, string> {
  return typeof value === 'object' && value !== null;
}

async function printPlan(context: Context, repository: Repository, request: RestoreRequest): Promise<Result> {
  const planned = await planRestore({ ...context, repository }, request);
  const kept = await keepPlan(context.unit, planned.plan, context.clock.now());
  const text = planText(planned.plan, {
    id: kept.id,
    backup: planned.backup,
    now: kept.madeAt,
    ...planned.measurements,
  });
  return { text, json: { plan: { id: kept.id, ...restorePlanSchema.encode(planned.plan) } } };
}

/** A plan that no longer stands is answered with the one that would be made now. */
async function refuse(
  context: Context,
  repository: Repository,
  id: string,
  changed: { why: string; request: RestoreRequest },
): Promise<Result> {
  const fresh = await printPlan(context, repository, changed.request);
  throw new Failure('refused', `the plan ${id} no longer stands: ${changed.why}`, {
    hint: `Read the new one, then confirm it:\n\n${fresh.text}`,
  });
}

function stands({ id, plan }: KeptPlan): Result {
  return { text: `the plan ${id} still stands`, json: { plan: { id, ...restorePlanSchema.encode(plan) } } };
}

/** Under Juju every unit is brought to a halt before this one begins; here a person has to have done it. */
function refuseOtherUnits({ id, plan }: KeptPlan): void {
  if (plan.units.length === 0) return;
  const units = plan.units.map(({ unit }) => unit).join(', ');
  throw new Failure('refused', `Landscape on ${units} uses the database that plan ${id} overwrites`, {
    hint: `With Juju, the action does it all: restore confirm=${id}. Without it, stop Landscape there, then: landscape-backup restore --other-units-stopped --confirm=${id}`,
  });
}

/** The plan of a restore that has begun here and not ended. */
async function restoreUnderWay(unit: UnitFolder): Promise<KeptPlan | undefined> {
  const state = await readRestoreState(unit);
  return state !== undefined && isUnderWay(state) ? (await readRestore(unit)).kept : undefined;
}

function nothingToContinue(): Failure {
  return new Failure('refused', 'no restore is under way on this unit', {
    hint: 'landscape-backup restore prints a plan for a new one.',
  });
}

/** The backup that a restore under way is made from. */
async function backupOf(repository: Repository, { plan }: KeptPlan): Promise<Backup> {
  const { incarnations } = await readCatalogue(repository, plan.systemIdentifier);
  const holder = incarnations.find(({ number }) => number === plan.backup.incarnation);
  const found = holder?.backups.find(({ id }) => id === plan.backup.id);
  if (found !== undefined) return found;
  throw new Failure('missing', `backup ${plan.backup.id}, from which this restore is made, is gone`, {
    hint: 'landscape-backup abandon-restore puts back what was there.',
  });
}

function done({ cluster }: Context, restored: Restored): Result {
  const { planId, incarnation, reached, oldKept, notes } = restored;
  const lines = [
    `restored: ${cluster.label} runs on timeline ${reached.timeline}, which left at ${formatLsn(reached.switchLsn)} as planned`,
    incarnation === null
      ? '  it is a copy and archives nothing; next: landscape-backup take-over, or take-over --keep-copy'
      : `  it owns incarnation ${incarnation} and archives into it; next: landscape-backup status`,
  ];
  if (oldKept) lines.push('  what was there before lies aside; when all is well: landscape-backup remove-old');
  for (const note of notes) lines.push(`  note: ${note}`);
  const switched = { timeline: reached.timeline, switchLsn: formatLsn(reached.switchLsn) };
  return { text: lines.join('\n'), json: { restored: { planId, incarnation, ...switched, oldKept, notes } } };
}
