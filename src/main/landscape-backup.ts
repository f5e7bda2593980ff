import { join } from 'node:path';
import { exitCodes, Failure, toFailure } from '../core/failure.ts';
import { makeContext } from '../commands/context.ts';
import { makeOutput } from '../commands/output.ts';
import { identityOnInput } from '../commands/identity-file.ts';
import { runAsOwner } from '../commands/owner-process.ts';
import { parseCommandLine, type Request } from '../commands/program.ts';
import { verbs } from '../commands/verbs.ts';
import type { JobProgress } from '../jobs/job-progress.ts';
import { machineClock } from '../system/clock.ts';
import { findHome, lastingRuntime } from '../system/find-home.ts';
import { hasParent } from '../system/process.ts';
import { version } from '../core/version.ts';

/** `landscape-backup`: what administrators type. Started as root it goes on as the cluster's owner, unless the verb is root's. */
async function main(argv: readonly string[]): Promise<number> {
  const wantsJson = ['json', 'both'].some((each) => argv.includes(each) || argv.includes(`--format=${each}`));
  let output = makeOutput(wantsJson ? 'json' : 'text', process.stdout, process.stderr);
  try {
    const parsed = parseCommandLine(verbs, version, argv);
    if ('text' in parsed) {
      process.stdout.write(`${parsed.text.trimEnd()}\n`);
      return 0;
    }
    output = makeOutput(parsed.global.format, process.stdout, process.stderr);
    return await run(parsed, argv, output);
  } catch (error) {
    const failure = toFailure(error);
    output.failure(failure);
    return exitCodes[failure.kind];
  }
}

async function run(request: Request, argv: readonly string[], output: ReturnType<typeof makeOutput>): Promise<number> {
  const { verb, global, options, args } = request;
  const home = global.home ?? (await findHome());
  const program = [process.execPath, ...process.execArgv, process.argv[1] ?? ''];
  const isRoot = process.geteuid?.() === 0;
  if (isRoot && verb.as !== 'root') {
    // The child is told where: what an owner can see below /var/lib need not be what root sees.
    const named = global.home === undefined ? [...argv.slice(0, 1), '--home', home, ...argv.slice(1)] : argv;
    const given = await identityOnInput(named, options);
    return await runAsOwner(program, given.argv, { home, cluster: global.cluster, input: given.input });
  }
  process.umask(0o007);
  const tell = { signal: stopSignal(), progress: (progress: JobProgress) => output.progress(progress) };
  const runtime = await lastingRuntime(join(import.meta.dirname, '..'));
  const start = { home, runtime, cluster: global.cluster };
  let result;
  if (verb.as === 'root') {
    if (!isRoot) {
      throw new Failure('refused', `landscape-backup ${verb.name} works as root only`, {
        hint: `sudo landscape-backup ${argv.join(' ')}`,
      });
    }
    const log = (line: string) => {
      process.stderr.write(`${line}\n`);
    };
    result = await verb.run({ ...start, program, clock: machineClock, log, ...tell }, options, args);
  } else {
    result = await verb.run(await makeContext(start, tell), options, args);
  }
  output.result(result);
  return result.exitCode ?? 0;
}

function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      stop.abort(new Error(`stopped by ${signal}`));
    });
  }
  // Root's process was killed: nobody wants the result, and a second run could start beside this one.
  if (hasParent()) process.on('disconnect', () => stop.abort(new Error("stopped: root's process has gone")));
  return stop.signal;
}

// The natural end flushes both streams; a channel to a parent would keep the process alive.
process.exitCode = await main(process.argv.slice(2));
if (hasParent()) process.disconnect?.();
