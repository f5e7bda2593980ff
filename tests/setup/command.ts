import { execa } from 'execa';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { z } from 'zod';
import type { Machine } from './machine.ts';

/** What a run of the command said. */
export interface Said {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the installed command as an administrator does: as root where the tests run as root. */
export async function runCommand(machine: Machine, args: readonly string[], home = machine.home): Promise<Said> {
  const program = join(machine.runtime, 'bin', 'landscape-backup');
  const { exitCode, stdout, stderr } = await execa(program, [...args, '--home', home], {
    env: machine.env,
    cwd: '/',
    reject: false,
  });
  return { exitCode: exitCode ?? -1, stdout, stderr };
}

/** Runs it, holds that it succeeded, and gives back its JSON. */
export async function runForJson<S extends z.ZodType>(
  machine: Machine,
  schema: S,
  args: readonly string[],
  home?: string,
): Promise<z.output<S>> {
  const { exitCode, stdout, stderr } = await runCommand(machine, [...args, '--format', 'json'], home);
  expect(exitCode, `${stdout}\n${stderr}`).toBe(0);
  return schema.parse(JSON.parse(stdout));
}

/** Writes a home's settings: the machine's destination, and what else is given. */
export async function writeSettings(
  machine: Machine,
  home: string,
  more: Readonly<Record<string, string>>,
): Promise<void> {
  const all = { destination: machine.destination, ...more };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\n`);
  await writeFile(join(home, 'settings.yaml'), lines.join(''), { mode: 0o644 });
}

/** What `restore` prints before it is confirmed. */
export const planSchema = z.object({ plan: z.looseObject({ id: z.string(), claims: z.number().nullable() }) });

/** What a confirmed `restore` prints. */
export const restoredSchema = z.object({
  restored: z.looseObject({ incarnation: z.number().nullable(), oldKept: z.boolean() }),
});
