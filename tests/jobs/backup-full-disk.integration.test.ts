import { execa } from 'execa';
import { statfsSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { takeBackup } from '../../src/jobs/backup.ts';
import { layout } from '../../src/repository/layout.ts';
import { readJournal } from '../../src/system/journal.ts';
import { backupContext, makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner } from '../setup/machine.ts';
import { proveBackup } from '../setup/prove-backup.ts';

// A real file system that fills up; only root may mount one.
const isRoot = process.getuid?.() === 0;

describe.runIf(isRoot)('a destination that is full (needs root, to mount a small one)', () => {
  let archived: ArchivedCluster;
  let disk: string;
  let unmounting: { end(): Promise<void> };

  beforeAll(async () => {
    disk = await mkdtemp(join(tmpdir(), 'lb-disk-'));
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=48m,uid=postgres,gid=postgres,mode=2770', 'none', disk]);
    // This process is root's no longer when it ends; a child of before still is.
    const child = execa('sh', ['-c', 'read -r _; umount "$1"; rmdir "$1"', '-', disk], {
      stdin: 'pipe',
      reject: false,
    });
    unmounting = {
      end: async () => {
        child.stdin.end();
        await child;
      },
    };
    becomeOwner();
    archived = await makeArchivedCluster({ destination: { destination: `file://${disk}` } });
  });

  afterAll(async () => {
    await archived.machine.destroy();
    await unmounting.end();
  });

  /** Takes all room but some bytes. */
  function fill(leaveBytes: number): string {
    // At once: nobody else may take or give room in between.
    const { bavail, bsize } = statfsSync(disk);
    const filler = join(disk, '.filler');
    writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)));
    return filler;
  }

  async function objectsOfBackups(): Promise<readonly string[]> {
    const keys: string[] = [];
    for await (const { key } of archived.repository.storage.list(layout.base(archived.place))) keys.push(key);
    return keys;
  }

  test('before a backup is told, and nothing is begun', async () => {
    const filler = fill(4_000_000);

    await expect(takeBackup(backupContext(archived), { trigger: 'person' })).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringMatching(/has 4 MB free; a backup of \d+ MB needs about \d+ MB \(half its size\)/),
    });

    expect(await objectsOfBackups()).toEqual([]);
    await rm(filler);
  });

  test('in the middle of a backup ends it, gives its room back, and the next one succeeds', async () => {
    let filler: string | undefined;
    const context = backupContext(archived);
    const failing = takeBackup(
      {
        ...context,
        progress: ({ phase }) => {
          if (phase === 'copying the cluster') filler ??= fill(1_500_000);
        },
      },
      { trigger: 'person' },
    );

    await expect(failing).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('the disk is full'),
    });
    const { bavail, bsize } = await statfs(disk);
    expect(bavail * bsize).toBeGreaterThan(1_000_000);
    expect(await objectsOfBackups()).toEqual([]);
    expect((await readJournal(archived.unit)).at(-1)).toMatchObject({ outcome: 'failed' });

    await rm(filler ?? '');
    const backup = await takeBackup(context, { trigger: 'retry' });
    await proveBackup(archived, backup);
  });
});
