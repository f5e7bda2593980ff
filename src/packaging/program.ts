import { exitCodes, toFailure } from '../core/failure.ts';

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
