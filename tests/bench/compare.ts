/** One of two that are compared. */
export interface Side {
  readonly name: string;
  /** Does the work once, and gives back what it measured. */
  run(): Promise<number>;
}

/** The median with the smallest and the largest. */
export function middle(numbers: readonly number[]): string {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (index: number) => (sorted[index] ?? Number.NaN).toFixed(2);
  return `${at(Math.floor(sorted.length / 2))} (${at(0)} to ${at(sorted.length - 1)})`;
}

/**
 * Lets both work in turn and prints what each measured and the ratio of each pair, so that a machine whose speed drifts drifts
 * for both.
 */
export async function compareRuns(work: string, reach: string, runs: number, ours: Side, theirs: Side): Promise<void> {
  const pairs: (readonly [number, number])[] = [];
  for (let run = 0; run < runs; run += 1) pairs.push([await ours.run(), await theirs.run()]);
  const lines = [
    work,
    `  ${ours.name.padEnd(18)}${middle(pairs.map(([own]) => own))}`,
    `  ${theirs.name.padEnd(18)}${middle(pairs.map(([, other]) => other))}`,
    `  ${'ratio'.padEnd(18)}${middle(pairs.map(([own, other]) => own / other))}   (to reach: ${reach})`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
