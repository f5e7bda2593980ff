/** What Juju runs, through `dispatch`: one hook or one action. */
import { toFailure } from '../core/failure.ts';
import { localMachine } from '../hooks/local-machine.ts';
import { parseEnvironment } from '../juju/environment.ts';
import { makeHookTools } from '../juju/hook-tool-programs.ts';
import { environment } from '../system/environment.ts';
import { dispatch } from './shared/dispatch.ts';

process.umask(0o022);
try {
  const juju = parseEnvironment(environment.all());
  await dispatch(juju, makeHookTools(), await localMachine(juju));
} catch (error) {
  // Juju runs the hook again after a while; what it was about stands in the unit's log.
  const { message, hint } = toFailure(error);
  process.stderr.write(`${message}${hint === undefined ? '' : `. Next: ${hint}`}\n`);
  if (error instanceof Error && error.stack !== undefined) process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
}
