import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { makeSbom } from '../../src/packaging/sbom.ts';

const root = join(import.meta.dirname, '..', '..');
const charm = { name: 'landscape-backup', version: '1.2.3' };

const sbomSchema = z.object({
  bomFormat: z.literal('CycloneDX'),
  specVersion: z.literal('1.6'),
  version: z.literal(1),
  metadata: z.object({ component: z.object({ 'bom-ref': z.string(), name: z.string(), version: z.string() }) }),
  components: z.array(
    z.strictObject({
      type: z.literal('library'),
      'bom-ref': z.string().regex(/^pkg:npm\/[^@]+@\d+\.\d+\.\d+[^@]*$/),
      group: z.string().startsWith('@').optional(),
      name: z.string().regex(/^[^@/]+$/),
      version: z.string(),
      hashes: z.array(z.object({ alg: z.literal('SHA-512'), content: z.string().regex(/^[0-9a-f]{128}$/) })),
      licenses: z.array(z.object({ expression: z.string() })),
      purl: z.string(),
    }),
  ),
  dependencies: z.array(z.object({ ref: z.string(), dependsOn: z.array(z.string()) })),
});

function read(lock: string) {
  return sbomSchema.parse(JSON.parse(makeSbom(lock, charm)));
}

const ours = await readFile(join(root, 'package-lock.json'), 'utf8');

test('everything that is shipped is in it, and no tool of development', async () => {
  const { dependencies, optionalDependencies, devDependencies } = z
    .record(z.string(), z.unknown())
    .parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))) as Record<string, Record<string, string>>;
  const names = read(ours).components.map(({ name, version }) => `${name}@${version}`);

  for (const [name, version] of Object.entries({ ...dependencies, ...optionalDependencies })) {
    expect(names).toContain(`${name.replace(/^@.*\//, '')}@${version}`);
  }
  for (const name of ['vitest', 'typescript', 'oxlint', 'yazl']) {
    expect(devDependencies).toHaveProperty(name);
    expect(names.join()).not.toMatch(new RegExp(`(^|,)${name}@`));
  }
});

test('every edge leads to a part that is in it, and every part is led to', () => {
  const { components, dependencies, metadata } = read(ours);
  const parts = components.map((component) => component['bom-ref']);
  const reached = dependencies.flatMap(({ dependsOn }) => dependsOn);

  expect(dependencies.map(({ ref }) => ref)).toEqual([metadata.component['bom-ref'], ...parts]);
  expect(new Set(reached)).toEqual(new Set(parts));
});

test('the same lock file gives the same bytes', () => {
  expect(makeSbom(ours, charm)).toBe(makeSbom(ours, charm));
  expect(makeSbom(ours, charm)).not.toMatch(/timestamp|serialNumber/);
});

test('a package that two others need in two versions leads to the right one', () => {
  const locked = (version: string, more: object = {}) => ({
    version,
    integrity: `sha512-${Buffer.alloc(64, version).toString('base64')}`,
    license: 'MIT',
    ...more,
  });
  const lock = JSON.stringify({
    packages: {
      '': { dependencies: { '@x/a': '1', b: '1' }, devDependencies: { d: '1' } },
      'node_modules/@x/a': locked('1.0.0', { dependencies: { b: '2' } }),
      'node_modules/@x/a/node_modules/b': locked('2.0.0'),
      'node_modules/b': locked('1.0.0'),
      'node_modules/d': locked('1.0.0', { dev: true }),
    },
  });
  const { components, dependencies } = read(lock);

  expect(dependencies).toEqual([
    { ref: 'pkg:npm/landscape-backup@1.2.3', dependsOn: ['pkg:npm/%40x/a@1.0.0', 'pkg:npm/b@1.0.0'] },
    { ref: 'pkg:npm/%40x/a@1.0.0', dependsOn: ['pkg:npm/b@2.0.0'] },
    { ref: 'pkg:npm/b@2.0.0', dependsOn: [] },
    { ref: 'pkg:npm/b@1.0.0', dependsOn: [] },
  ]);
  expect(components[0]).toMatchObject({ group: '@x', name: 'a', version: '1.0.0' });
});
