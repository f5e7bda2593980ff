import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeValue,
  effectiveValue,
  formatServiceConfiguration,
  parseServiceConfiguration,
  valuesOf,
} from '../../src/core/service-configuration.ts';
import {
  mergeServiceConfiguration,
  namesHost,
  productionHosts,
  type MergeRequest,
} from '../../src/core/service-merge.ts';

const production = `# production's own words
[stores]
host = 10.0.0.1:5432
password = production-password
sslrootcert = /etc/landscape/production-ca.pem
main = landscape-standalone-main

[schema]
store_user = relation-4
store_password = production-schema

[broker]
host = 10.0.0.2
password = production-broker
hostagent_task_queue = x

[landscape]
secret-token = production-token
workers = 7
[api]
cookie-encryption-key = production-cookie
root-url = https://production.example.com/
[package-search]
host = 10.0.0.3
stores = main
[features]
secret-feature = on
[secrets]
service-url = http://10.0.0.1:26155
[hostagent_consumer]
threads = 3
`;

const spare = `[stores]
host = 10.7.0.1:5432
password = spare-password
[schema]
store_user = relation-9
store_password = spare-schema
[broker]
host = 10.7.0.2
password = spare-broker
[appserver]
secret_token = spare-token
workers = 2
gone = 1
[system]
deployment_mode = standalone
[api]
cookie_encryption_key = spare-cookie
root_url = https://spare.example.com/
[package_search]
host = 10.7.0.3
[secrets]
service_url = http://localhost:26155
`;

function merge(changes: Partial<Omit<MergeRequest, 'production' | 'spare'>> = {}, texts = { production, spare }) {
  return mergeServiceConfiguration({
    production: parseServiceConfiguration(texts.production),
    spare: parseServiceConfiguration(texts.spare),
    credentials: 'spare',
    profile: 'manual',
    ...changes,
  });
}

function values(changes?: Parameters<typeof merge>[0]) {
  return Object.fromEntries(valuesOf(merge(changes).configuration));
}

describe('a service.conf after a restore', () => {
  test("keeps the spare's endpoints with what belongs to them, and has everything else of production", () => {
    expect(values()).toEqual({
      'stores.host': '10.7.0.1:5432',
      'stores.password': 'spare-password',
      'stores.main': 'landscape-standalone-main',
      'schema.store_user': 'relation-9',
      'schema.store_password': 'spare-schema',
      'broker.host': '10.7.0.2',
      'broker.password': 'spare-broker',
      'appserver.secret_token': 'production-token',
      'appserver.workers': '7',
      'api.cookie_encryption_key': 'production-cookie',
      'api.root_url': 'https://production.example.com/',
      'package_search.host': '10.7.0.3',
      'package_search.stores': 'main',
      'features.secret_feature': 'on',
      'secrets.service_url': 'http://localhost:26155',
      'hostagent_consumer.threads': '3',
    });
  });

  test("has production's credentials of the database where the plan says so, and never its broker's", () => {
    const merged = values({ credentials: 'production' });

    expect(merged['stores.password']).toBe('production-password');
    expect(merged['schema.store_user']).toBe('relation-4');
    expect(merged['broker.password']).toBe('spare-broker');
    expect(merged['stores.host']).toBe('10.7.0.1:5432');
  });

  test('leaves alone on a charmed unit what the charm owns, and says what the operator gives to it', () => {
    const merged = merge({ profile: 'charmed' });
    const found = Object.fromEntries(valuesOf(merged.configuration));

    expect(found).toMatchObject({
      'appserver.secret_token': 'spare-token',
      'appserver.workers': '2',
      'api.cookie_encryption_key': 'spare-cookie',
      'api.root_url': 'https://spare.example.com/',
      'system.deployment_mode': 'standalone',
      'features.secret_feature': 'on',
      'hostagent_consumer.threads': '3',
    });
    expect(merged.operator).toEqual([
      { option: 'secret_token', value: 'production-token', secret: true },
      { option: 'cookie_encryption_key', value: 'production-cookie', secret: true },
      { option: 'root_url', value: 'https://production.example.com/', secret: false },
    ]);
  });

  test("asks the operator for production's passwords too, where they come back to a charmed unit", () => {
    const { operator } = merge({ profile: 'charmed', credentials: 'production' });

    expect(operator.map(({ option }) => option)).toEqual([
      'secret_token',
      'cookie_encryption_key',
      'root_url',
      'db_landscape_password',
      'db_schema_user',
      'db_schema_password',
    ]);
  });

  test('keeps comments and order of production', () => {
    const text = formatServiceConfiguration(merge().configuration);

    expect(text).toMatch(/^# production's own words\n\[stores\]\nhost = 10\.7\.0\.1:5432\n/);
    expect(text.indexOf('[features]')).toBeGreaterThan(text.indexOf('[package-search]'));
  });

  test('tells decisions by names only', () => {
    const { decisions } = merge();

    expect(decisions).toContainEqual({ name: 'stores.host', from: 'spare', why: "the spare's database" });
    expect(decisions).toContainEqual({ name: 'appserver.secret_token', from: 'production', why: 'restored' });
    expect(JSON.stringify(decisions)).not.toMatch(/production-(password|token|cookie|broker|schema)|10\.\d/);
  });

  test('takes no value from a place that only interpolation or DEFAULT would reach', () => {
    const { configuration } = merge(
      {},
      {
        production:
          '[DEFAULT]\nhost = 10.0.0.1\nport = 1\n[stores]\ndatabase-host = 10.0.0.1\nmain = m\n[broker]\nx = 1\n',
        spare:
          '[stores]\nhost = %(database-host)s:${system:db-port}\ndatabase-host = 10.7.0.1\n[system]\ndb_port = 5\n',
      },
    );

    expect(Object.fromEntries(valuesOf(configuration))).toEqual({
      'stores.host': '%(database-host)s:${system:db-port}',
      'stores.database_host': '10.7.0.1',
      'system.db_port': '5',
      'stores.main': 'm',
    });
  });

  test('tells a short host name of production from a word that only looks like it', () => {
    const { configuration } = merge(
      {},
      {
        production:
          '[stores]\nhost = landscape\n[api]\noops_key = landscape\nmirror_host = landscape\nurl = http://landscape:80/\n',
        spare: '[stores]\nhost = spare\n',
      },
    );

    expect(Object.fromEntries(valuesOf(configuration))).toEqual({
      'stores.host': 'spare',
      'api.oops_key': 'landscape',
    });
  });

  test('is the same when it is merged again: a restore that was killed goes on', () => {
    const once = formatServiceConfiguration(merge().configuration);
    const twice = formatServiceConfiguration(merge({}, { production, spare: once }).configuration);

    expect(twice).toBe(once);
  });
});

const spelled = (name: string) => fc.constantFrom(name, name.replaceAll('_', '-'), name.toUpperCase());
const sections = fc.constantFrom('stores', 'schema', 'broker', 'DEFAULT', 'api', 'features');
const renamed = fc.constantFrom('global', 'system', 'landscape', 'appserver', 'package-search', 'package_search');
const keys = fc
  .constantFrom('host', 'port', 'user', 'password', 'main', 'root_url', 'secret_token', 'database_host', 'ssl_mode')
  .chain(spelled);

/** The text of a file in which every value tells whose it is. */
function written(whose: string): fc.Arbitrary<string> {
  const value = fc.constantFrom(
    `${whose}.example.com`,
    `${whose}.example.com:5432`,
    `${whose}-secret`,
    `%(database_host)s`,
    `b64:${Buffer.from(`${whose}.example.com`).toString('base64')}`,
    `first\n   ${whose}.example.com\n\n\t[stores]\n   host = ${whose}`,
  );
  const entry = fc.tuple(fc.constantFrom('', '  ', '\t'), keys, fc.constantFrom(' = ', '=', ': '), value);
  const section = fc.tuple(
    fc.oneof(sections, renamed),
    fc.array(entry, { maxLength: 6 }),
    fc.constantFrom('', '# words\n', '\n', '   ; more\n'),
  );
  const end = fc.constantFrom('\n', '\r\n', '\r');
  return fc.tuple(fc.array(section, { maxLength: 8 }), end, fc.boolean()).map(([all, newline, ended]) => {
    const text = all
      .map(([name, entries, words]) => `[${name}]\n${entries.map((parts) => `${parts.join('')}\n`).join(words)}`)
      .join('');
    return (ended ? text : text.trimEnd()).replaceAll('\n', newline);
  });
}

function parsed(text: string) {
  try {
    return parseServiceConfiguration(text);
  } catch {
    return undefined; // A key twice: such a file is refused, see above.
  }
}

const endpoints = ['stores.host', 'stores.port', 'schema.host', 'broker.host', 'broker.port', 'package_search.host'];

describe('whatever stands in the two files', () => {
  test("endpoints are the spare's, and no value of production's endpoints is left anywhere but in a root URL", () => {
    fc.assert(
      fc.property(
        written('production'),
        written('spare'),
        fc.constantFrom<MergeRequest['credentials']>('spare', 'production'),
        fc.constantFrom<MergeRequest['profile']>('manual', 'charmed'),
        (productionText, spareText, credentials, profile) => {
          const files = { production: parsed(productionText), spare: parsed(spareText) };
          fc.pre(files.production !== undefined && files.spare !== undefined);
          const request = { production: files.production, spare: files.spare, credentials, profile };
          const merged = parseServiceConfiguration(
            formatServiceConfiguration(mergeServiceConfiguration(request).configuration),
          );

          const found = valuesOf(merged);
          const own = valuesOf(files.spare);
          const hosts = productionHosts(request);
          for (const [name, value] of found) {
            const isCredential = /(user|password)$/.test(name) && credentials === 'production';
            if (!name.endsWith('.root_url') && !isCredential && value !== valuesOf(files.spare).get(name))
              expect(namesHost(decodeValue(value), hosts), `${name} = ${value}`).toBe(false);
          }
          for (const name of endpoints) expect(effectiveValue(found, name), name).toBe(effectiveValue(own, name));
          for (const [name, value] of found) {
            if (name.startsWith('broker.')) expect(value, name).toBe(own.get(name));
            // What a reference leads to is the spare's as well.
            if (endpoints.includes(name) && value.includes('%(')) {
              const section = name.split('.')[0] ?? '';
              for (const other of [`${section}.database_host`, 'DEFAULT.database_host'])
                expect(found.get(other), other).toBe(own.get(other));
            }
          }
          const token = valuesOf(files.production).get('appserver.secret_token');
          // A host's value may go on in more lines; each word of it is taken for a host.
          const typed = [...valuesOf(files.production)]
            .filter(([name]) => name.endsWith('host'))
            .flatMap(([, value]) => value.split(/[\s,]+/));
          const isKept = token === undefined || /example\.com|b64:|%/.test(token) || typed.includes(token);
          if (profile === 'manual' && !isKept) expect(found.get('appserver.secret_token')).toBe(token);
        },
      ),
      { numRuns: 3000, verbose: 1 },
    );
  });
});
