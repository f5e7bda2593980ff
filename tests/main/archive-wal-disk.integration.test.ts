import { execa } from 'execa';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner, makeMachine, type Machine } from '../setup/machine.ts';
import { readTree } from '../setup/tree.ts';
import { until } from '../setup/wait.ts';

/** A shell that stays root when this process has become the clusters' owner. */
function startRootShell() {
  const shell = execa('sh', [], { buffer: false, reject: false });
  return async (command: string) => {
    shell.stdin.write(`${command}; echo "ended $?"\n`);
    const [said] = (await once(shell.stdout, 'data')) as [Buffer];
    if (!String(said).endsWith('ended 0\n')) throw new Error(`${command}: ${String(said)}`);
  };
}

const isRoot = process.getuid?.() === 0;

describe.skipIf(!isRoot)('a destination on a disk of its own (needs root to mount one)', () => {
  let machine: Machine;
  let archived: ArchivedCluster;
  let asRoot: (command: string) => Promise<void>;

  beforeAll(async () => {
    asRoot = startRootShell();
    becomeOwner();
    machine = await makeMachine();
    const { destination } = machine;
    await asRoot(`mount -t tmpfs -o size=16m,mode=2770,uid=postgres,gid=postgres tmpfs ${destination}`);
    archived = await addArchivedCluster(machine);
    await archived.server.sql('create table t (i int)');
    await everythingArchived();
  });

  afterAll(async () => {
    await archived.server.stop('immediate');
    await asRoot(`umount -l ${machine.destination}`);
    await machine.destroy();
  });

  async function endSegment(): Promise<string> {
    const said = await archived.server.sql('insert into t values (1); select pg_walfile_name(pg_switch_wal())');
    return said.split('\n').at(-1) ?? '';
  }

  async function everythingArchived(): Promise<void> {
    const name = await endSegment();
    await until(`${name} is archived`, async () => {
      await archived.server.sql('select pg_reload_conf()');
      return (await archived.server.sql('select last_archived_wal from pg_stat_archiver')) >= name;
    });
  }

  async function serverSays(): Promise<string> {
    const log = join(machine.root, 'log', 'main.log');
    const before = { tree: await readTree(machine.destination), log: (await readFile(log, 'utf8')).length };
    await endSegment();
    await until('PostgreSQL logs a failure', async () =>
      (await readFile(log, 'utf8')).slice(before.log).includes('archive command failed with exit code 1'),
    );
    expect(await readTree(machine.destination)).toEqual(before.tree);
    return (await readFile(log, 'utf8')).slice(before.log);
  }

  test('that is full gets nothing, says so, and goes on when there is room', async () => {
    const filler = join(machine.destination, 'filler');
    await writeFile(filler, Buffer.alloc(32 * 1024 * 1024)).catch(() => undefined);

    expect(await serverSays()).toMatch(/landscape-backup archive-wal: \S+: the disk is full\. Make room there/);

    await rm(filler);
    await everythingArchived();
  });

  test('that is read-only gets nothing, says so, and goes on when it is not', async () => {
    await asRoot(`mount -o remount,ro ${machine.destination}`);

    expect(await serverSays()).toMatch(/landscape-backup archive-wal: \S+: the file system is read-only/);

    await asRoot(`mount -o remount,rw ${machine.destination}`);
    await everythingArchived();
  });

  test('where this user may not write gets nothing, and the line says who may not', async () => {
    await asRoot(`chown -R root:root ${machine.destination}/clusters && chmod -R a+rX ${machine.destination}/clusters`);

    expect(await serverSays()).toMatch(
      /landscape-backup archive-wal: \S+: (permission denied|operation not permitted)\. This process runs as uid \d+/,
    );

    await asRoot(`chown -R postgres:postgres ${machine.destination}/clusters`);
    await everythingArchived();
  });
});
