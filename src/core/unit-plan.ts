import * as z from 'zod';
import { instantSchema } from './backup.ts';
import { Failure } from './failure.ts';
import type { PublishedLandscape, Site, UnitFacts } from './site.ts';
import { formatSeconds } from './words.ts';

/** A file set by the names under which the repository keeps it. */
const setNameSchema = z.object({ model: z.string(), application: z.string(), unit: z.string(), id: z.string() });

/** What a restore does on one Landscape unit: decisions only, they enter the plan's id. No secret. */
export const unitPlanSchema = z.object({
  unit: z.string(),
  profile: z.enum(['charmed', 'quickstart', 'manual']),
  /** The files that come back; null: this unit's files stay as they are. */
  fileSet: setNameSchema.nullable(),
  /** The endpoints that stay, as they were when the plan was made. */
  endpoints: z.record(z.string(), z.string().nullable()),
  endpointsDigest: z.string().nullable(),
});
export type UnitPlan = z.infer<typeof unitPlanSchema>;

/** What is known of a Landscape unit's file set without reading its files. */
const fileSetSummarySchema = setNameSchema.extend({
  takenAt: instantSchema,
  /** As people call them; null where they were not known. */
  modelName: z.string().nullable(),
  principal: z.string().nullable(),
  /** The version of landscape-server that its files are of; null where it was not known. */
  landscapeVersion: z.string().nullable(),
});
export type FileSetSummary = z.infer<typeof fileSetSummarySchema>;

/** What the choice of file sets rests on. */
export interface UnitPlanRequest {
  readonly site: Site;
  /** This model's UUID. */
  readonly model: string;
  /** Landscape's file sets in the repository, of every model. */
  readonly sets: readonly FileSetSummary[];
  /** The model and application whose database comes back. */
  readonly production: { readonly model: string };
  /** The moment that is restored to; `undefined` for the newest. */
  readonly notAfter: Date | undefined;
  /** Whose files a unit gets, where the operator says so: from unit to `<model>/<unit>`. */
  readonly filesFrom: Readonly<Record<string, string>>;
  readonly now: Date;
  /** What the operator types to have a principal's action run: `juju run landscape-server/0 pause`. */
  readonly principalAction: (principal: string, action: string) => string;
}

/** The decisions, and what a person must be told of them. */
export interface UnitPlans {
  readonly units: readonly UnitPlan[];
  readonly notes: readonly string[];
}

/**
 * Decides for each Landscape unit which files it gets: those that the operator named, those of the same unit, or those of
 * the only one there is to choose. Fails with `refused` where it would have to guess, and lists the choices.
 */
export function planUnits(request: UnitPlanRequest): UnitPlans {
  const landscape = request.site.units.flatMap(({ unit, facts }) =>
    facts === null || facts.landscape === null ? [] : [{ unit, facts, landscape: facts.landscape }],
  );
  const silent = request.site.units.find(({ facts }) => facts === null);
  if (silent !== undefined) {
    throw new Failure('refused', `${silent.unit} has not said yet what it is`, {
      hint: 'Wait until juju status shows it idle, then make the plan again.',
    });
  }
  refuseUnknownNames(request, landscape);
  const units: UnitPlan[] = [];
  const notes: string[] = landscape.length === 0 ? [nobodyHeardOf] : [];
  for (const each of landscape) {
    const set = chooseSet(request, each, landscape.length);
    units.push({
      unit: each.unit,
      profile: each.landscape.profile,
      fileSet: set === undefined ? null : nameOf(set),
      endpoints: { ...each.landscape.endpoints },
      endpointsDigest: each.landscape.endpointsDigest,
    });
    notes.push(...notesOf(request, each, set));
  }
  return { units, notes };
}

/** A unit that came a moment ago may not have been met, and what is not in a plan is not restored by it. */
const nobodyHeardOf =
  'No Landscape unit is known here: the database comes back alone. If there is one, wait until juju status shows it idle, then make the plan again.';

interface LandscapeUnit {
  readonly unit: string;
  readonly facts: UnitFacts;
  readonly landscape: PublishedLandscape;
}

function refuseUnknownNames({ filesFrom }: UnitPlanRequest, landscape: readonly LandscapeUnit[]): void {
  for (const name of Object.keys(filesFrom)) {
    if (landscape.some((each) => isCalled(each, name))) continue;
    const known = landscape.map(({ unit, facts }) => facts.principal ?? unit).join(', ');
    throw new Failure('refused', `files-from names ${name}, which is no Landscape unit of this model`, {
      hint: known === '' ? 'No Landscape unit is related.' : `The Landscape units are ${known}.`,
    });
  }
}

/** An operator calls a unit by its own name or by that of the principal beside it. */
function isCalled({ unit, facts }: { unit: string; facts: UnitFacts }, name: string): boolean {
  return unit === name || facts.principal === name;
}

function nameOf({ model, application, unit, id }: FileSetSummary): NonNullable<UnitPlan['fileSet']> {
  return { model, application, unit, id };
}

/** How an operator can call the unit that a file set is of: by the model's UUID or name, and ours or the principal's unit. */
function namesOf({ model, modelName, unit, principal }: FileSetSummary): readonly string[] {
  return [model, modelName].flatMap((where) =>
    where === null ? [] : [unit, principal].flatMap((who) => (who === null ? [] : [`${where}/${who}`])),
  );
}

/** The most telling of those names. */
function sourceOf(set: FileSetSummary): string {
  return `${set.modelName ?? set.model}/${set.principal ?? set.unit}`;
}

function chooseSet(
  request: UnitPlanRequest,
  { unit, facts }: LandscapeUnit,
  units: number,
): FileSetSummary | undefined {
  const { sets, production, filesFrom, notAfter, model } = request;
  const shown = facts.principal ?? unit;
  const wanted = filesFrom[unit] ?? filesFrom[shown];
  if (wanted !== undefined) {
    const named = nearest(
      sets.filter((set) => namesOf(set).includes(wanted)),
      notAfter,
    );
    if (named !== undefined) return named;
    throw new Failure('refused', `there are no files of ${wanted} for ${shown}`, {
      hint: choices(sets),
    });
  }
  const candidates = sets.filter((set) => set.model === production.model);
  // In the model that the database comes from, each unit gets its own files back.
  if (production.model === model) {
    return nearest(
      candidates.filter((set) => set.unit === unit),
      notAfter,
    );
  }
  const sources = [...new Set(candidates.map(sourceOf))].sort();
  if (sources.length === 0) return undefined;
  if (sources.length === 1 && units === 1) return nearest(candidates, notAfter);
  throw new Failure('refused', `whose files ${shown} gets is not plain: there are those of ${sources.join(', ')}`, {
    hint: `Say it for each Landscape unit: files-from="${shown}=${sources[0] ?? ''}"`,
  });
}

function choices(sets: readonly FileSetSummary[]): string {
  const sources = [...new Set(sets.map(sourceOf))].sort();
  return sources.length === 0
    ? 'The repository holds no files of any Landscape unit.'
    : `It holds files of ${sources.join(', ')}.`;
}

/**
 * The newest set that is not newer than the moment. Where the first one was taken only after it, that one: configuration changes
 * seldom, and none at all would leave the unit with keys that do not fit its database.
 */
function nearest(sets: readonly FileSetSummary[], notAfter: Date | undefined): FileSetSummary | undefined {
  const sorted = sets.toSorted((a, b) => a.takenAt.getTime() - b.takenAt.getTime() || (a.id < b.id ? -1 : 1));
  return sorted.findLast(({ takenAt }) => notAfter === undefined || takenAt <= notAfter) ?? sorted[0];
}

function notesOf(
  { now, notAfter, principalAction }: UnitPlanRequest,
  { unit, facts, landscape }: LandscapeUnit,
  set: FileSetSummary | undefined,
): readonly string[] {
  const shown = facts.principal === null ? unit : `${facts.principal} (${unit})`;
  const notes: string[] = [];
  if (set === undefined) notes.push(`${shown}: no files are stored for it, its own stay as they are.`);
  else {
    const age = formatSeconds(Math.max(0, (now.getTime() - set.takenAt.getTime()) / 1000));
    const late =
      notAfter === undefined || set.takenAt <= notAfter ? '' : ', taken after that moment: there are none older';
    notes.push(`${shown} gets the files of ${sourceOf(set)} of ${set.takenAt.toISOString()}, ${age} old${late}.`);
    if (set.landscapeVersion !== null && landscape.version !== null && set.landscapeVersion !== landscape.version) {
      notes.push(
        `${shown} has landscape-server ${landscape.version}, its files are of ${set.landscapeVersion}: a newer one migrates the restored databases when it starts, and there is no way back from that.`,
      );
    }
  }
  if (landscape.profile === 'charmed' && landscape.running) {
    notes.push(
      `${shown} runs: before confirm, ${principalAction(facts.principal ?? 'landscape-server/<n>', 'pause')}, and leave it paused until the restore is done.`,
    );
  }
  return notes;
}
