import { execa } from 'execa';
import { readFile } from 'node:fs/promises';
import { middle } from './compare.ts';

/** What one run of a program took. */
export interface Measured {
  readonly seconds: number;
  /** The largest resident memory of any one process of the program, in MiB. */
  readonly peakMiB: number;
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/**
 * Runs a program and measures its wall time and the resident memory of it and its children, ten times a second.
 *
 * With `phase` the time is that of one phase, as the program's progress tells it.
 */
export async function measure(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  phase?: string,
): Promise<Measured> {
  await execa('sync', []);
  const began = performance.now();
  const child = execa(command, args, { env, cwd: '/', stdin: 'ignore' });
  let peakKiB = 0;
  const timer = setInterval(() => {
    void peakOfTree(child.pid ?? 0).then((found) => {
      peakKiB = Math.max(peakKiB, found);
    });
  }, 100);
  const phases = new Map<string, number>();
  try {
    for await (const line of child.iterable({ from: 'stderr' })) {
      const told = /"phase":"([^"]*)"/.exec(line)?.[1];
      if (told !== undefined && !phases.has(told)) phases.set(told, performance.now());
    }
    await child;
  } finally {
    clearInterval(timer);
  }
  const from = phase === undefined ? began : (phases.get(phase) ?? Number.NaN);
  const next = phase === undefined ? performance.now() : [...phases.values()].find((at) => at > from);
  return { seconds: ((next ?? Number.NaN) - from) / 1000, peakMiB: peakKiB / 1024 };
}

async function peakOfTree(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const isServer = /^Name:\s+postgres$/m.test(status);
  const own = isServer ? 0 : Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const below = await Promise.all(
    children
      .split(' ')
      .filter(Boolean)
      .map(async (child) => await peakOfTree(Number(child))),
  );
  return Math.max(own, ...below);
}

/** Lets two programs do the same work in turn, after once each that is not counted, and says the ratio of each pair. */
export async function comparePrograms(
  work: string,
  reach: string,
  runs: number,
  ours: () => Promise<Measured>,
  peer: string,
  theirs: () => Promise<Measured>,
): Promise<void> {
  const pairs: (readonly [Measured, Measured])[] = [];
  await ours();
  await theirs();
  for (let run = 0; run < runs; run += 1) pairs.push([await ours(), await theirs()]);
  say(work);
  for (const [name, side] of [
    ['ours', 0],
    [peer, 1],
  ] as const) {
    const peak = Math.max(...pairs.map((pair) => pair[side].peakMiB)).toFixed(0);
    say(`  ${name.padEnd(12)}${middle(pairs.map((pair) => pair[side].seconds))} s, peak ${peak} MiB`);
  }
  say(`  ${'ratio'.padEnd(12)}${middle(pairs.map(([a, b]) => a.seconds / b.seconds))}   (to reach: ${reach})`);
}
