/** Stands for the command in tests of jobs: `run-job` is the real one, the other verbs end in every way there is. */
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { machineClock } from '../../src/system/clock.ts';
import { runJob } from '../../src/system/job-run.ts';

const [verb, ...args] = process.argv.slice(2);
const home = args[args.indexOf('--home') + 1] ?? '';
const program = [process.execPath, import.meta.filename];

function tell(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function step(phase: string): void {
  process.stderr.write(`${JSON.stringify({ progress: { phase, bytes: 1 } })}\n`);
}

if (verb === 'run-job') {
  const stop = new AbortController();
  process.on('SIGTERM', () => stop.abort());
  const say = (line: string) => void process.stderr.write(`${line}\n`);
  await runJob({ home, program, clock: machineClock, signal: stop.signal, say }, args[0] ?? '');
} else if (verb === 'work') {
  process.on('SIGTERM', () => {
    tell({ error: { kind: 'internal', message: 'stopped by SIGTERM', hint: null, exitCode: 1 } });
    process.exit(1);
  });
  appendFileSync(`${home}/worked`, `${process.pid}\n`);
  step('copying');
  process.stderr.write('a line for the log\n');
  await sleep(Number(args.at(-1)));
  step('closing');
  tell({ worked: { for: args.at(-1) } });
} else if (verb === 'fail') {
  tell({ error: { kind: 'unavailable', message: 'the destination does not answer', hint: 'Mount it.', exitCode: 5 } });
  process.exitCode = 5;
} else if (verb === 'find') {
  tell({ check: { bad: ['clock'] } });
  process.exitCode = 12;
} else if (verb === 'die') {
  process.stdout.write('{"half":');
  process.kill(process.pid, 'SIGKILL');
} else if (verb === 'read') {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += String(chunk);
  tell({ read: text });
} else if (verb === 'mute') {
  process.stderr.write('Error: something\n');
  process.exitCode = 1;
}
