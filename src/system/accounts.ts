import { join } from 'node:path';
import { readText } from './files.ts';
import { run } from './process.ts';

/** The users or the groups of a machine, by name and by number. */
interface AccountList {
  /** `undefined` where nobody has that number. */
  nameOf(id: number): Promise<string | undefined>;
  /** `undefined` where nobody has that name. */
  idOf(name: string): Promise<number | undefined>;
}

/** Who is who on a machine: owners of files are kept by name, because numbers differ between machines. */
export interface Accounts {
  readonly users: AccountList;
  readonly groups: AccountList;
}

/** Asks the machine's name service; for a machine below another root than `/`, its own files. Answers are remembered. */
export function readAccounts(root: string): Accounts {
  return { users: listOf(root, 'passwd'), groups: listOf(root, 'group') };
}

function listOf(root: string, database: 'passwd' | 'group'): AccountList {
  const known = new Map<string, Promise<string | undefined>>();
  const lookUp = async (key: string) => {
    const asked = known.get(key) ?? (root === '/' ? getent(database, key) : inFile(join(root, 'etc', database), key));
    known.set(key, asked);
    return await asked;
  };
  return {
    nameOf: async (id) => (await lookUp(String(id)))?.split(':')[0],
    idOf: async (name) => {
      // A name of digits only would be taken for a number.
      const line = /^\d+$/.test(name) ? undefined : await lookUp(name);
      return line === undefined ? undefined : Number(line.split(':')[2]);
    },
  };
}

async function getent(database: string, key: string): Promise<string | undefined> {
  const { exitCode, stdout } = await run('getent', ['--', database, key], { answers: [2] });
  return exitCode === 0 ? stdout.trim().split('\n')[0] : undefined;
}

async function inFile(path: string, key: string): Promise<string | undefined> {
  const lines = ((await readText(path)) ?? '').split('\n').filter((line) => line !== '');
  return lines.find((line) => line.split(':')[/^\d+$/.test(key) ? 2 : 0] === key);
}
