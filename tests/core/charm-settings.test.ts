import { expect, test } from 'vitest';
import { settingsFromConfig } from '../../src/core/charm-settings.ts';

test('secrets go into no file that everybody may read, all other options do', () => {
  const made = settingsFromConfig(
    {
      config: {
        destination: 's3://bucket',
        's3-region': 'x',
        's3-access-key': 'planted-1',
        's3-secret-key': 'planted-2',
      },
      offer: undefined,
      secrets: new Map(),
      proxies: { http: undefined, https: undefined, no: undefined },
      reader: { application: 'lb', jujuVersion: '2.9.49' },
    },
    undefined,
  );

  if (!made.ok) throw made.failure;
  expect(made.text).toMatch(/^destination: "s3:\/\/bucket"\ns3-region: "x"\n$/m);
  expect(made.text).not.toContain('planted');
  expect(made.credentials).toEqual({ 's3-access-key': 'planted-1', 's3-secret-key': 'planted-2' });
});
