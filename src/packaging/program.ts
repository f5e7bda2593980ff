import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { exitCodes, Failure, toFailure } from '../core/failure.ts';

/** Reads the options of a program of this room. Fails with `usage`. */
export function readOptions<T extends ParseArgsOptionsConfig>(args: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw new Failure('usage', error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** Runs a program of this room; a failure is told in one sentence with what to do, and gives the exit code of its kind. */
export async function runProgram(main: (args: readonly string[]) => Promise<void>): Promise<void> {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    const { kind, message, hint } = toFailure(error);
    process.stderr.write(`${message}\n${hint === undefined ? '' : `  ${hint}\n`}`);
    process.exitCode = exitCodes[kind];
  }
}
