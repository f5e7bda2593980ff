import { exitCodes, toFailure, type Failure } from '../core/failure.ts';
import { keepSecond, type KeptSecond, type SecondContext } from '../jobs/second.ts';
import type { Result } from './output.ts';

/**
 * Does what is due, then what the second destination needs, whatever became of the first: that is just when it counts. Tells
 * of both; fails as what was due did.
 */
export async function withSecondKept(
  context: SecondContext,
  options: { readonly fills: boolean },
  due: () => Promise<Result>,
): Promise<Result> {
  let failed: { readonly error: unknown } | undefined;
  let result: Result = { text: '', json: {} };
  try {
    result = await due();
  } catch (error) {
    failed = { error };
  }
  const kept = await keepSecond(context, options).catch((error: unknown): Failure => toFailure(error));
  if (failed !== undefined) throw failed.error;
  const text = textOf(kept);
  if (text === undefined) return result;
  const json =
    kept instanceof Error ? { failure: { kind: kept.kind, message: kept.message, hint: kept.hint ?? null } } : kept;
  const exitCode = kept instanceof Error && kept.kind !== 'busy' ? exitCodes[kept.kind] : 0;
  return {
    text: [result.text, text].filter((each) => each !== '').join('\n'),
    json: { ...result.json, second: json },
    exitCode: result.exitCode === undefined || result.exitCode === 0 ? exitCode : result.exitCode,
  };
}

function textOf(kept: KeptSecond | Failure): string | undefined {
  if (kept instanceof Error) {
    return `${kept.message}${kept.hint === undefined ? '' : `\n  next: ${kept.hint}`}`;
  }
  switch (kept.is) {
    case 'nothing':
      return undefined;
    case 'dropped':
      return `the option destination-2 is empty: ${kept.objects} objects that it lacked are forgotten\n  next: nothing, if that was meant; with destination-2 set again everything is compared and brought over`;
    case 'filling':
      return 'the second destination is being filled';
    case 'kept':
      if (kept.brought + kept.left === 0) return undefined;
      return `the second destination: ${kept.brought} objects were brought over, ${kept.left} are left`;
  }
}
