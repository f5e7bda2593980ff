import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  isProductionsDefault,
  isProductionsVariable,
  mergeVariables,
  readVariables,
  strangeVariables,
  variableDecisions,
} from '../../core/environment-variables.ts';
import { Failure } from '../../core/failure.ts';
import type { LandscapePlan, Staged, WantedFile } from '../../core/landscape-restore.ts';
import { defaultsFile, environmentFile } from '../../core/landscape-profile.ts';
import {
  decodeValue,
  entriesOf,
  formatServiceConfiguration,
  nameOf,
  parseServiceConfiguration,
} from '../../core/service-configuration.ts';
import {
  mergeServiceConfiguration,
  namesHost,
  productionHosts,
  spareKeeps,
  type MergeDecision,
  type Merged,
  type OperatorOption,
} from '../../core/service-merge.ts';
import { readMachineText } from '../../landscape/machine.ts';
import { needLandscapeUnit, type LandscapeUnit } from '../../landscape/unit.ts';
import { restoreFolder, type LandscapeContext } from './context.ts';

/** A path and what shall lie there: production's staged bytes, or a text that was merged with the spare's. */
export interface Work extends WantedFile {
  readonly text: string | null;
}

/** What a restore does with files on this unit, as it is now. */
export interface WorkList {
  readonly unit: LandscapeUnit;
  readonly work: readonly Work[];
  readonly decisions: readonly MergeDecision[];
  readonly operator: readonly OperatorOption[];
  /** What the operator should know, one sentence each. */
  readonly notes: readonly string[];
  /** Hosts of production that the spare must not name. */
  readonly hosts: readonly string[];
}

/** Decides what becomes of each staged file. It is the same before, during and after the work, so that it may be repeated. */
export async function makeWorkList(
  context: Pick<LandscapeContext, 'machine' | 'unit'>,
  plan: LandscapePlan,
  staged: Staged,
): Promise<WorkList> {
  const unit = await needLandscapeUnit(context.machine);
  if (unit.profile !== plan.profile) {
    throw new Failure('refused', `this unit is ${unit.profile}, the plan is for one that is ${plan.profile}`, {
      hint: 'Make a new plan.',
    });
  }
  const production = await stagedText(context, plan, staged, staged.serviceConfiguration);
  const merged = production === undefined ? undefined : merge(unit, plan, production, staged.serviceConfiguration);
  const hosts = production === undefined ? [] : hostsOf(unit, production, staged.serviceConfiguration);
  const list = { unit, decisions: [...(merged?.decisions ?? [])], operator: merged?.operator ?? [], notes: [], hosts };
  return await new Sorter({ context, plan, staged, merged, list }).sort();
}

function merge(unit: LandscapeUnit, { credentials, profile }: LandscapePlan, production: string, path: string): Merged {
  return mergeServiceConfiguration({
    production: parseServiceConfiguration(production, `the file set's ${path}`),
    spare: unit.serviceConfiguration.parsed,
    credentials,
    profile,
  });
}

function hostsOf(unit: LandscapeUnit, production: string, path: string): readonly string[] {
  const parsed = parseServiceConfiguration(production, path);
  return productionHosts({ production: parsed, spare: unit.serviceConfiguration.parsed });
}

/** The staged text of a path; `undefined` when the set does not have it as a file. */
export async function stagedText(
  context: Pick<LandscapeContext, 'unit'>,
  { planId }: LandscapePlan,
  { files }: Staged,
  path: string,
): Promise<string | undefined> {
  const file = files.find((each) => each.path === path);
  if (file === undefined || file.staged === null) return undefined;
  return await readFile(join(restoreFolder(context, planId).staging, file.staged), 'utf8');
}

/** Files that may point somewhere: small texts that systemd or cron read. */
const pointing = /^\/etc\/(systemd|cron\.d)\//;

interface SortRequest {
  readonly context: Pick<LandscapeContext, 'machine' | 'unit'>;
  readonly plan: LandscapePlan;
  readonly staged: Staged;
  readonly merged: Merged | undefined;
  readonly list: Omit<WorkList, 'work'>;
}

class Sorter {
  readonly #context: SortRequest['context'];
  readonly #plan: LandscapePlan;
  readonly #staged: Staged;
  readonly #merged: Merged | undefined;
  readonly #list: Omit<WorkList, 'work'>;
  readonly #work: Work[] = [];
  readonly #notes: string[] = [];
  readonly #decisions: MergeDecision[];
  /** Files that the spare's own endpoints refer to: its certificate for the database, for instance. */
  readonly #own: ReadonlySet<string>;

  constructor({ context, plan, staged, merged, list }: SortRequest) {
    this.#context = context;
    this.#plan = plan;
    this.#staged = staged;
    this.#merged = merged;
    this.#list = list;
    this.#decisions = [...list.decisions];
    const entries = entriesOf(list.unit.serviceConfiguration.parsed);
    const kept = entries.filter((entry) => spareKeeps(nameOf(entry), plan) !== undefined);
    this.#own = new Set(kept.map(({ value }) => decodeValue(value)));
  }

  async sort(): Promise<WorkList> {
    for (const file of this.#staged.files) await this.#sort(file);
    return { ...this.#list, work: this.#work, decisions: this.#decisions, notes: this.#notes };
  }

  async #sort(file: WantedFile): Promise<void> {
    switch (file.rule) {
      case 'service':
        if (file.kind !== 'file' || this.#merged === undefined) return;
        // Where the spare's service.conf lies is the spare's own choice.
        this.#add(
          file,
          this.#list.unit.serviceConfiguration.path,
          formatServiceConfiguration(this.#merged.configuration),
        );
        return;
      case 'environment':
        await this.#variables(file, environmentFile, (name) => isProductionsVariable(name, this.#plan));
        return;
      case 'defaults':
        await this.#variables(file, defaultsFile, (name) => isProductionsDefault(name, this.#plan));
        return;
      case 'replace':
        await this.#replace(file);
        return;
      case 'reference':
        return;
    }
  }

  async #variables(file: WantedFile, path: string, isProductions: (name: string) => boolean): Promise<void> {
    const production = await stagedText(this.#context, this.#plan, this.#staged, file.path);
    if (production === undefined) return;
    const values = readVariables(production);
    const spare = (await readMachineText(this.#context.machine, path)) ?? '';
    const comes = (name: string) => isProductions(name) && !namesHost(values.get(name) ?? '', this.#list.hosts);
    const { text, changed } = mergeVariables(production, spare, comes);
    if (changed.length === 0) return;
    this.#decisions.push(...variableDecisions(path, changed));
    this.#add(file, path, text);
  }

  async #replace(file: WantedFile): Promise<void> {
    if (this.#own.has(file.path)) {
      this.#notes.push(`${file.path} stays the spare's: its endpoints use it`);
      return;
    }
    if (file.kind === 'file' && pointing.test(file.path)) {
      const text = (await stagedText(this.#context, this.#plan, this.#staged, file.path)) ?? '';
      const strange = strangeVariables(text, this.#plan);
      if (strange.length > 0 || namesHost(text, this.#list.hosts)) {
        const what = strange.length > 0 ? strange.join(', ') : 'a host of production';
        this.#notes.push(`${file.path} does not come back: it would point the spare to production (${what})`);
        return;
      }
    }
    this.#add(file, file.path, null);
  }

  #add(file: WantedFile, path: string, text: string | null): void {
    this.#work.push({ ...file, path, text });
  }
}
