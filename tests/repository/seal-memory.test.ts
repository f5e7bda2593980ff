import { build } from 'esbuild';
import { execa } from 'execa';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryDirectory } from '../storage/temporary-directory.ts';

const mebibytes = 200;

test.each(['none', 'age'])(
  'large objects, encrypted: %s, pass through sealing, storing, reading and parts with bounded memory',
  async (form) => {
    const directory = await temporaryDirectory();
    try {
      // Bundled like every program of ours: stripping types while it runs would take memory of its own.
      const child = join(directory.path, '.child.mjs');
      const source = join(import.meta.dirname, 'seal-memory.child.ts');
      await build({ entryPoints: [source], bundle: true, platform: 'node', format: 'esm', outfile: child });
      const { stdout } = await execa(process.execPath, [child, String(mebibytes), directory.path, form]);

      const { read, peakMiB } = JSON.parse(stdout);
      expect(read).toBe(2 * mebibytes * 1024 * 1024);
      expect(peakMiB).toBeLessThan(200);
    } finally {
      await directory.destroy();
    }
  },
);
