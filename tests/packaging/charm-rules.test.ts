import { dump } from 'js-yaml';
import { describe, expect, test } from 'vitest';
import { findCharmFaults, type CharmEntry } from './charm-rules.ts';

const metadata = {
  name: 'a-charm',
  summary: 'A charm.',
  description: 'It does.',
  subordinate: true,
  assumes: ['juju >= 2.9.49'],
  requires: { db: { interface: 'juju-info', scope: 'container', optional: true } },
};
const base = { name: 'ubuntu', channel: '22.04', architectures: ['amd64'] };
const action = {
  description: 'Do it.',
  additionalProperties: false,
  'execution-group': 'a-charm',
  params: { wait: { type: 'integer', description: 'Seconds.', default: 5, minimum: 0, maximum: 50 } },
};

/** A charm that breaks no rule, with these files put over it. */
function charm(files: Readonly<Record<string, Partial<CharmEntry> | object>> = {}, yaml: object = {}): CharmEntry[] {
  const good: CharmEntry[] = [
    { name: 'dispatch', mode: 0o100755, text: '#!/bin/sh\nexec ./bin/charm\n' },
    { name: 'bin/charm', mode: 0o100755, text: '#!/bin/sh\n' },
    { name: 'version', mode: 0o100644, text: '1.0.0\n' },
  ];
  const contents = {
    'metadata.yaml': metadata,
    'manifest.yaml': { bases: [base] },
    'config.yaml': { options: { size: { type: 'int', default: 1, description: 'Of it.' } } },
    'actions.yaml': { 'do-it': action },
    ...yaml,
  };
  for (const [name, value] of Object.entries(contents)) good.push({ name, mode: 0o100644, text: dump(value) });
  const kept = good.map((entry) => ({ ...entry, ...files[entry.name] }));
  const added = Object.entries(files).filter(([name]) => !good.some((entry) => entry.name === name));
  return [...kept, ...added.map(([name, entry]) => ({ mode: 0o100644, text: '', name, ...entry }))];
}

const withMetadata = (more: object) => charm({}, { 'metadata.yaml': { ...metadata, ...more } });
const withBase = (more: object) => charm({}, { 'manifest.yaml': { bases: [{ ...base, ...more }] } });
const withOption = (option: object) => charm({}, { 'config.yaml': { options: { size: option } } });
const withAction = (more: object, name = 'do-it') => charm({}, { 'actions.yaml': { [name]: { ...action, ...more } } });
const withParam = (schema: object, name = 'wait') =>
  withAction({ params: { [name]: { description: 'What.', ...schema } } });

test('a charm that keeps all rules has no fault', () => {
  expect(findCharmFaults(charm())).toEqual([]);
});

const planted: readonly (readonly [string, readonly CharmEntry[], string])[] = [
  ['a name that begins with ./', charm({ './a': {} }), 'the name ./a'],
  ['an absolute name', charm({ '/a': {} }), 'the name /a'],
  ['a name that leaves the charm', charm({ '../a': {} }), 'the name ../a'],
  [
    'metadata.yaml under another spelling',
    charm({ 'metadata.yaml': { name: './metadata.yaml' } }),
    'metadata.yaml is missing',
  ],
  ['a name twice', [...charm(), { name: 'version', mode: 0o100644, text: '1' }], 'version is there twice'],
  ['an entry without a unix mode', charm({ a: { mode: 0 } }), 'a is no file'],
  ['a device', charm({ a: { mode: 0o020644 } }), 'a is no file'],
  ['an absolute link', charm({ a: { mode: 0o120777, text: '/etc/passwd' } }), 'the link a leaves'],
  ['a link that leaves the charm', charm({ 'b/a': { mode: 0o120777, text: '../../x' } }), 'the link b/a leaves'],
  ['a file that nobody may read', charm({ a: { mode: 0o100000 } }), "a can't be read"],
  ['dispatch without the right to be executed', charm({ dispatch: { mode: 0o100644 } }), 'dispatch is missing or'],
  ['dispatch that ends in nothing that is there', charm({ 'bin/charm': { name: 'bin/x' } }), 'dispatch ends in'],
  ['dispatch that ends in what can not run', charm({ 'bin/charm': { mode: 0o100644 } }), 'dispatch ends in'],
  ['dispatch that stays a shell', charm({ dispatch: { text: '#!/bin/sh\n./bin/charm\n' } }), 'does not become'],
  ['dispatch without an interpreter', charm({ dispatch: { text: 'exec ./bin/charm\n' } }), 'interpreter'],
  ['no version', charm({ version: { text: '' } }), 'version has no line'],
  ['no summary', withMetadata({ summary: undefined }), 'no summary'],
  ['a long summary', withMetadata({ summary: 'x'.repeat(201) }), 'longer than 200'],
  ['series', withMetadata({ series: ['jammy'] }), 'has series'],
  ['min-juju-version', withMetadata({ 'min-juju-version': '2.9.0' }), 'has min-juju-version'],
  ['assumes without bases', charm({}, { 'manifest.yaml': {} }), 'assumes needs bases'],
  ['an operator that assumes lacks', withMetadata({ assumes: ['juju > 2.9'] }), 'assumes holds "juju > 2.9"'],
  ['a third kind of group', withMetadata({ assumes: [{ 'one-of': ['juju < 4'] }] }), 'assumes holds something else'],
  ['a fault within a group', withMetadata({ assumes: [{ 'any-of': ['juju == 3'] }] }), 'assumes holds "juju == 3"'],
  [
    'a subordinate without a container',
    withMetadata({ requires: { db: { interface: 'juju-info', optional: true } } }),
    'a subordinate needs',
  ],
  [
    'a reserved endpoint name',
    withMetadata({ peers: { 'juju-peers': { interface: 'x', optional: true } } }),
    'juju-peers is reserved',
  ],
  [
    'a reserved interface',
    withMetadata({ provides: { a: { interface: 'juju-info', optional: true } } }),
    'interface of a is reserved',
  ],
  [
    'one endpoint in two roles',
    withMetadata({ peers: { db: { interface: 'x', optional: true } } }),
    'the endpoint db is there twice',
  ],
  ['an endpoint without an interface', withMetadata({ peers: { a: {} } }), 'a has no interface'],
  ['a silent endpoint', withMetadata({ peers: { a: { interface: 'x' } } }), 'does not say whether'],
  [
    'an unknown scope',
    withMetadata({ peers: { a: { interface: 'x', optional: true, scope: 'machine' } } }),
    'unknown scope',
  ],
  ['no bases', charm({}, { 'manifest.yaml': { bases: [] } }), 'names no bases'],
  ['a base of an unknown system', withBase({ name: 'debian' }), 'the base debian'],
  ['a channel that YAML reads as a number', withBase({ channel: 22.04 }), "the base's channel 22.04"],
  ['an unknown architecture', withBase({ architectures: ['x86_64'] }), 'no known architecture'],
  ['no options', charm({}, { 'config.yaml': {} }), 'no options'],
  ['an option for secrets', withOption({ type: 'secret', description: 'x' }), 'which 2.9 refuses'],
  ['a default of another type', withOption({ type: 'int', default: '1', description: 'x' }), 'no int'],
  ['a fraction as int', withOption({ type: 'int', default: 1.5, description: 'x' }), 'no int'],
  ['an option that is not described', withOption({ type: 'int' }), 'not described'],
  ['an action with an underscore', withAction({}, 'do_it'), 'do_it is refused'],
  ['a reserved action', withAction({}, 'juju-run'), 'juju-run is refused'],
  ['an action open to anything', withAction({ additionalProperties: undefined }), 'leaves additionalProperties'],
  ['an action that stops the machine', withAction({ 'execution-group': undefined }), "takes the machine's lock"],
  ['an action that is not described', withAction({ description: undefined }), 'not described'],
  ['a reference', withParam({ type: 'string', $ref: '#/x' }), 'says $ref'],
  ['a required parameter that is not there', withAction({ required: ['name'] }), 'requires a parameter'],
  ['a parameter that can not be typed', withParam({ type: 'string' }, 'fileName'), "can't be given"],
  ['an unknown type', withParam({ type: 'int' }), 'the type int is none'],
  ['a default of another type', withParam({ type: 'boolean', default: 'no' }), 'no boolean'],
  ['a default out of range', withParam({ type: 'integer', default: 60, maximum: 50 }), 'out of its own range'],
  ['a default that can not be chosen', withParam({ type: 'string', default: 'x', enum: ['y'] }), 'none of its choices'],
  ['a word of a later draft', withParam({ type: 'string', const: 'x' }), 'const is not in draft 4'],
  ['a number where draft 4 has a flag', withParam({ type: 'integer', exclusiveMinimum: 0 }), 'exclusiveMinimum'],
  ['a pattern that Go does not know', withParam({ type: 'string', pattern: '^(?!a).*$' }), 'none for Go'],
  ['a pattern without ends', withParam({ type: 'string', pattern: '[a-z]+' }), 'within the text'],
];

describe('the rules find', () => {
  test.each(planted)('%s', (_what, entries, said) => {
    expect(findCharmFaults(entries).join('\n')).toContain(said);
  });
});
