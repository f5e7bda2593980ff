import { join } from 'node:path';
import { exitCodes, toFailure } from '../core/failure.ts';
import { makeContext } from '../commands/context.ts';
import { makeOutput } from '../commands/output.ts';
import { runAsOwner } from '../commands/owner-process.ts';
import { parseCommandLine, type Request } from '../commands/program.ts';
import { verbs } from '../commands/verbs.ts';
import { environment } from '../system/environment.ts';
import { hasParent } from '../system/process.ts';
import { version } from '../core/version.ts';

/** `landscape-backup`: what administrators type. Started as root it goes on as the cluster's owner. */
async function main(argv: readonly string[]): Promise<number> {
  const wantsJson = argv.includes('json') || argv.includes('--format=json');
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

async function run(
  { verb, global, options, args }: Request,
  argv: readonly string[],
  output: ReturnType<typeof makeOutput>,
): Promise<number> {
  const home = global.home ?? environment.home();
  if (process.geteuid?.() === 0) {
    return await runAsOwner([process.execPath, ...process.execArgv, process.argv[1] ?? ''], argv, {
      home,
      cluster: global.cluster,
    });
  }
  process.umask(0o007);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      stop.abort(new Error(`stopped by ${signal}`));
    });
  }
  const runtime = join(import.meta.dirname, '..');
  const context = await makeContext(
    { home, runtime, cluster: global.cluster },
    { signal: stop.signal, progress: (progress) => output.progress(progress) },
  );
  const result = await verb.run(context, options, args);
  output.result(result);
  return result.exitCode ?? 0;
}

// The natural end flushes both streams; a channel to a parent would keep the process alive.
process.exitCode = await main(process.argv.slice(2));
if (hasParent()) process.disconnect?.();
