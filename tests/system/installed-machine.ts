import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { errorCode } from '../../src/system/files.ts';
import type { MachinePaths } from '../../src/system/machine-paths.ts';

/** A private machine's directories, a `systemctl` that writes down what it is told, and a charm to install from. */
export interface InstalledMachine {
  readonly root: string;
  readonly paths: MachinePaths;
  readonly charm: string;
  /** What systemctl was told since the last time. */
  told(): Promise<readonly string[]>;
  /** Makes systemctl do something else. */
  systemctl(script: string): Promise<void>;
  /** Gives the charm another runtime. */
  release(version: string, megabytes?: number): Promise<void>;
  /** Everything on the machine that is no directory, by its path from the root. */
  files(): Promise<readonly string[]>;
  destroy(): Promise<void>;
}

const templates = join(import.meta.dirname, '..', '..', 'charm', 'systemd');

export async function installedMachine(): Promise<InstalledMachine> {
  const root = await mkdtemp(join(tmpdir(), 'lb-installed-'));
  await chmod(root, 0o755);
  const charm = join(root, 'charm');
  const log = join(root, 'told');
  const machine: InstalledMachine = {
    root,
    charm,
    paths: {
      runtimes: join(root, 'opt/landscape-backup'),
      systemdUnits: join(root, 'etc/systemd/system'),
      systemdRuns: join(root, 'charm'),
      commands: join(root, 'usr/local/bin'),
      homes: join(root, 'var/lib/landscape-backup'),
    },
    told: async () => {
      const lines = await readFile(log, 'utf8').catch(() => '');
      await rm(log, { force: true });
      return lines.split('\n').filter((line) => line !== '');
    },
    systemctl: async (script) => {
      await mkdir(join(root, 'bin'), { recursive: true });
      await writeFile(join(root, 'bin', 'systemctl'), `#!/bin/sh\necho "$@" >> '${log}'\n${script}\n`);
      await chmod(join(root, 'bin', 'systemctl'), 0o755);
    },
    release: async (version, megabytes = 0) => {
      await rm(join(charm, 'runtime'), { recursive: true, force: true });
      await mkdir(join(charm, 'runtime', 'bin'), { recursive: true });
      await mkdir(join(charm, 'runtime', 'lib'));
      await writeFile(join(charm, 'runtime', 'bin', 'landscape-backup'), `#!/bin/sh\necho ${version}\n`);
      await chmod(join(charm, 'runtime', 'bin', 'landscape-backup'), 0o755);
      await writeFile(join(charm, 'runtime', 'lib', 'program.js'), `'${version}'\n`);
      if (megabytes > 0) {
        await writeFile(join(charm, 'runtime', 'bin', 'node'), Buffer.alloc(megabytes * 1024 * 1024, version));
      }
    },
    files: async () => {
      const found: string[] = [];
      for (const top of ['opt', 'etc', 'usr', 'var']) {
        const entries = await readdir(join(root, top), { recursive: true, withFileTypes: true }).catch(
          (error: unknown) => {
            if (errorCode(error) === 'ENOENT') return [];
            throw error;
          },
        );
        for (const entry of entries) {
          if (!entry.isDirectory()) found.push(join(entry.parentPath, entry.name).slice(root.length + 1));
        }
      }
      return found.toSorted((a, b) => (a < b ? -1 : 1));
    },
    destroy: async () => {
      vi.unstubAllEnvs();
      await rm(root, { recursive: true, force: true });
    },
  };
  await machine.systemctl('');
  await machine.release('1');
  const { cp } = await import('node:fs/promises');
  await cp(templates, join(charm, 'systemd'), { recursive: true });
  vi.stubEnv('PATH', `${join(root, 'bin')}:${process.env['PATH'] ?? ''}`);
  return machine;
}
