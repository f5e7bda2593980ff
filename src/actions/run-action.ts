import * as z from 'zod';
import { isFailure, toFailure } from '../core/failure.ts';
import { inJujuWords } from '../core/juju-words.ts';
import type { JujuEnvironment } from '../juju/environment.ts';
import type { HookTools } from '../juju/hook-tools.ts';
import { reconcile } from '../hooks/reconcile.ts';
import { readRoles, readSnapshot } from '../hooks/snapshot.ts';
import type { UnitMachine } from '../hooks/unit-machine.ts';
import type { Action } from './action.ts';

const paramsSchema = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));

/** Juju keeps results in a document of 16 MB; a person reads far less. */
const longestText = 200_000;

/**
 * Runs an action and tells its result, then brings the unit in line, so that what the action changed is published with it.
 *
 * A failure is told by `action-fail` and the exit code stays 0: otherwise Juju would put "exit status 1" in its place and drop
 * what this hook has published.
 */
export async function runAction(
  action: Action,
  environment: JujuEnvironment,
  tools: HookTools,
  machine: UnitMachine,
): Promise<void> {
  if (!(await machine.isInstalled())) await machine.install(await readRoles(tools));
  const params = paramsSchema.parse(await tools.actionGet());
  try {
    const snapshot = await readSnapshot(environment, tools, machine);
    const { text, json, failed } = await action.run({ tools, machine, snapshot, params });
    const wantsJson = params['format'] === 'json';
    await tools.actionSet({ result: cut(wantsJson ? JSON.stringify(json) : text.trimEnd()) });
    if (failed !== undefined) await tools.actionFail(failed);
  } catch (error) {
    const { message, hint } = toFailure(error);
    const to = { unit: environment.unit, jujuVersion: environment.version };
    const next = hint === undefined ? '' : `. Next: ${inJujuWords(hint, to)}`;
    if (!isFailure(error)) await tools.log('ERROR', error instanceof Error ? (error.stack ?? message) : message);
    await tools.actionFail(`${inJujuWords(message, to)}${next}`);
  }
  await reconcile(environment, tools, machine);
}

function cut(text: string): string {
  return text.length <= longestText ? text : `${text.slice(0, longestText)}\n… cut here`;
}
