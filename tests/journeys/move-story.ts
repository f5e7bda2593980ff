import { expect } from 'vitest';
import { z } from 'zod';
import { planSchema, restoredSchema, runForJson } from '../setup/command.ts';
import { makeRemoteStory, type RemoteStory } from './remote-story.ts';

const copyPlanSchema = z.object({
  plan: z.object({ id: z.string(), from: z.string(), to: z.string(), state: z.string(), missingObjects: z.number() }),
});
const copiedSchema = z.object({
  copied: z.object({ storedObjects: z.number(), readBack: z.number(), isNew: z.boolean() }),
});

/** Plans a copy and confirms it. */
async function copy({ machine }: RemoteStory, ...where: readonly string[]) {
  const args = ['copy-repository', '--cluster', '15/production', ...where];
  const { plan } = await runForJson(machine, copyPlanSchema, args);
  const { copied } = await runForJson(machine, copiedSchema, [...args, `--confirm=${plan.id}`]);
  return { plan, copied };
}

/**
 * Moves a repository from a directory to another destination while the cluster is written to, and restores on a spare from
 * there what was backed up before the move and written before, during and after it.
 */
export async function moveAndRestore(
  destination: string,
  access: Readonly<Record<string, string>>,
  secrets: Readonly<Record<string, string>>,
): Promise<void> {
  const story = await makeRemoteStory();
  const { machine, production, spare, spareHome, run } = story;
  const done = async (...args: readonly string[]) => {
    const said = await run(...args);
    expect(said.exitCode, `${said.stdout}\n${said.stderr}`).toBe(0);
    return said;
  };
  const old = machine.destination;
  const write = async (from: number) => {
    await production.sql(`insert into t select generate_series(${from + 1}, ${from + 100000})`);
  };
  const insert = async (from: number) => {
    await write(from);
    // It switches the segment, waits until it is stored, and reads it back.
    await done('check');
  };
  try {
    await story.configure({ destination: old, ...access }, secrets);
    await done('init');
    await production.sql('create table t as select generate_series(1, 100000) as n');
    await done('backup');
    await insert(100_000);

    const first = await copy(story, `--to=${destination}`);
    expect(first.plan).toMatchObject({ to: destination, state: 'empty' });
    expect(first.copied.isNew).toBe(true);
    expect(first.copied.readBack).toBeGreaterThan(3);

    await insert(200_000); // Only the old destination has it.
    await story.configure({ destination, ...access }, secrets);
    await write(300_000); // Only the new one has it.
    // What was archived in between is missing there until it is brought over.
    const between = (await run('check')).stdout;
    expect(between).toMatch(/ok +wal: a record was written, its segment \w+ arrived/);
    expect(between).toMatch(/FAIL contiguity: .* \d+ lost/);
    const second = await copy(story, `--from=${old}`);
    expect(second.plan).toMatchObject({ to: destination, state: 'whole' });
    expect(second.copied).toMatchObject({ isNew: false });
    expect(second.copied.storedObjects).toBeGreaterThan(0);
    await insert(400_000);

    const restore = ['restore', '--cluster', '15/spare'];
    const { plan } = await runForJson(machine, planSchema, restore, spareHome);
    await runForJson(machine, restoredSchema, [...restore, `--confirm=${plan.id}`], spareHome);
    expect(await spare.sql('select count(*), sum(n) from t')).toBe('500000|125000250000');

    await done('backup');
    await done('prune');
    expect((await run('status')).stdout).not.toMatch(/unavailable|refused/);
  } finally {
    await machine.destroy();
  }
}
