import { describe, expect, test } from 'vitest';
import {
  isProductionsDefault,
  isProductionsVariable,
  mergeVariables,
  readVariables,
  strangeVariables,
  unquoted,
} from '../../src/core/environment-variables.ts';

const manual = { credentials: 'spare', profile: 'manual' } as const;
const charmed = { credentials: 'spare', profile: 'charmed' } as const;

describe('/etc/environment after a restore', () => {
  test("has production's variables of Landscape, the spare's endpoints, and nothing else of production", () => {
    const production =
      'PATH="/production"\nLANDSCAPE_STORES__HOST=10.0.0.1\nLANDSCAPE_SYSTEM__AUDIT_RETENTION_PERIOD="30"\nhttp_proxy=p\n';
    const spare = 'PATH="/spare"\n# words\nLANDSCAPE_STORES__HOST=10.7.0.1\nLANDSCAPE_GLOBAL__OLD=1';
    const merged = mergeVariables(production, spare, (name) => isProductionsVariable(name, manual));

    expect(merged).toEqual({
      text: 'PATH="/spare"\n# words\nLANDSCAPE_STORES__HOST=10.7.0.1\nLANDSCAPE_SYSTEM__AUDIT_RETENTION_PERIOD="30"\n',
      changed: ['LANDSCAPE_SYSTEM__AUDIT_RETENTION_PERIOD', 'LANDSCAPE_GLOBAL__OLD'],
    });
  });

  test.each([
    ['LANDSCAPE_BROKER__PASSWORD', false],
    ['LANDSCAPE_PACKAGE_SEARCH__HOST', false],
    ['LANDSCAPE_STORES__PASSWORD', false],
    ['LANDSCAPE_SERVICE_CONF', false],
    ['LANDSCAPE_CONFIG_FILE', false],
    ['LANDSCAPE_APPSERVER__SECRET_TOKEN', true],
    ['PATH', false],
  ])("%s is production's: %s", (name, expected) => {
    expect(isProductionsVariable(name, manual)).toBe(expected);
  });
});

describe('/etc/default/landscape-server after a restore', () => {
  const production = 'DEPLOYED_FROM="charm"\nRUN_ALL="yes"\nUPGRADE_SCHEMA="yes"\n';
  const spare = '# which services run\nRUN_ALL="no"\nRUN_APPSERVER="2"\n';

  test("says production's services, and never where it was deployed from", () => {
    expect(mergeVariables(production, spare, (name) => isProductionsDefault(name, manual)).text).toBe(
      '# which services run\nRUN_ALL="yes"\nUPGRADE_SCHEMA="yes"\n',
    );
  });

  test("keeps the charm's numbers of services on a charmed unit", () => {
    expect(mergeVariables(production, spare, (name) => isProductionsDefault(name, charmed)).text).toBe(
      `${spare}UPGRADE_SCHEMA="yes"\n`,
    );
  });

  test('is read with quotes taken off', () => {
    expect(unquoted(readVariables(`export DEPLOYED_FROM='charm'`).get('DEPLOYED_FROM'))).toBe('charm');
  });
});

test('a drop-in that points to an endpoint is recognised', () => {
  const text = '[Service]\nEnvironment="LANDSCAPE_STORES__HOST=10.0.0.1" LANDSCAPE_API__WORKERS=2\n';

  expect(strangeVariables(text, manual)).toEqual(['LANDSCAPE_STORES__HOST']);
  expect(strangeVariables('[Service]\nNice=3\n', manual)).toEqual([]);
});
