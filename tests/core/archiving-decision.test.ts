import { expect, test } from 'vitest';
import {
  archiveCommand,
  classifyCommand,
  decideArchiving,
  isOurCommand,
  overriddenNames,
  waitingForRestart,
  type ArchivingFacts,
  type ArchivingWish,
  type EffectiveSetting,
} from '../../src/core/archiving-decision.ts';

const ours = archiveCommand('/opt/lb', '/var/lib/landscape-backup/15-main');
const wish: ArchivingWish = {
  walArchiving: true,
  walMethod: 'archive',
  standing: 'owner',
  command: ours,
  timeoutSeconds: 60,
};

function facts(
  effective: Readonly<Record<string, string>>,
  configured: Readonly<Record<string, string>> = {},
  versionNumber = 150_000,
): ArchivingFacts {
  return { versionNumber, effective: effectiveOf(effective), configured: new Map(Object.entries(configured)) };
}

function effectiveOf(values: Readonly<Record<string, string>>): ReadonlyMap<string, EffectiveSetting> {
  return new Map(
    Object.entries({ wal_level: 'replica', archive_mode: 'off', archive_command: '(disabled)', ...values }).map(
      ([name, value]) => [
        name,
        { name, value, source: 'configuration file', sourceFile: '/etc/x.conf', sourceLine: 7, pendingRestart: false },
      ],
    ),
  );
}

test.each([
  ['', 'empty'],
  ['(disabled)', 'empty'],
  [' true ', 'discards'],
  ['/bin/true', 'discards'],
  [ours, 'ours'],
  [archiveCommand('/other', '/elsewhere/16-main'), 'ours'],
  ['/usr/bin/true', 'foreign'],
  ['pgbackrest --stanza=main archive-push %p', 'foreign'],
  [`${ours} && cp %p /mnt/%f`, 'foreign'],
  [`cp %p /mnt/%f; ${ours}`, 'foreign'],
])('the command %s is %s', (command, expected) => {
  expect(classifyCommand(command)).toBe(expected);
});

test('the command is quoted for the shell and for PostgreSQL, and is known again', () => {
  const command = archiveCommand("/opt/it's 100%", '/var/lib/x y');
  expect(command).toBe(String.raw`'/opt/it'\''s 100%%/bin/archive-wal' '/var/lib/x y' '%p' '%f'`);
  expect(isOurCommand(command)).toBe(true);
});

const applied = { archive_mode: 'on', archive_command: ours, archive_timeout: '60' };

test.each<[string, ArchivingFacts, Partial<ArchivingWish>, unknown]>([
  ['fresh Debian', facts({}), {}, { do: 'apply', settings: applied, lostBefore: 'archiving was off' }],
  [
    'paused by an empty command',
    facts({ archive_mode: 'on', archive_command: '' }, { archive_mode: 'on' }),
    {},
    { do: 'apply', settings: applied, lostBefore: undefined },
  ],
  [
    'thrown away',
    facts({ archive_mode: 'on', archive_command: '/bin/true' }),
    {},
    { do: 'apply', settings: applied, lostBefore: 'archive_command was "/bin/true", which throws WAL away' },
  ],
  [
    'ours already',
    facts({ archive_mode: 'on', archive_command: ours }),
    {},
    { do: 'apply', settings: applied, lostBefore: undefined },
  ],
  [
    'a higher wal_level stays',
    facts({}, { wal_level: 'logical' }),
    {},
    { do: 'apply', settings: applied, lostBefore: 'archiving was off' },
  ],
  [
    'a minimal wal_level is raised',
    facts({}, { wal_level: 'minimal' }),
    {},
    { do: 'apply', settings: { wal_level: 'replica', ...applied }, lostBefore: 'archiving was off' },
  ],
  [
    '9.6 starts from minimal',
    facts({}, {}, 90_624),
    {},
    { do: 'apply', settings: { wal_level: 'replica', ...applied }, lostBefore: 'archiving was off' },
  ],
  [
    '9.5 has another word',
    facts({}, {}, 90_525),
    {},
    { do: 'apply', settings: { wal_level: 'hot_standby', ...applied }, lostBefore: 'archiving was off' },
  ],
  [
    'archive_mode always stays',
    facts({ archive_mode: 'always', archive_command: '' }, { archive_mode: 'always' }),
    {},
    { do: 'apply', settings: { archive_command: ours, archive_timeout: '60' }, lostBefore: undefined },
  ],
  [
    'a foreign command',
    facts({ archive_mode: 'on', archive_command: 'cp %p /x/%f' }),
    {},
    { do: 'refuse', why: 'archive_command is "cp %p /x/%f" (/etc/x.conf line 7)' },
  ],
  [
    'a foreign library',
    facts({ archive_mode: 'on', archive_command: '', archive_library: 'basic_archive' }),
    {},
    { do: 'refuse', why: 'archive_library is "basic_archive" (/etc/x.conf line 7)' },
  ],
  [
    'foreign after the next restart',
    facts({}, { archive_mode: 'on', archive_command: 'cp %p /x/%f' }),
    {},
    { do: 'refuse', why: 'archive_command becomes "cp %p /x/%f" with the next restart' },
  ],
  [
    'a foreign command that stays disabled',
    facts({}, { archive_command: 'cp %p /x/%f' }),
    {},
    { do: 'apply', settings: applied, lostBefore: 'archiving was off' },
  ],
  [
    'a copy, whatever the options say',
    facts({}),
    { standing: 'copy' },
    { do: 'take-off', why: 'the cluster is a restored copy' },
  ],
  [
    'a copy with somebody else’s command',
    facts({ archive_command: 'cp %p /x/%f' }),
    { standing: 'copy' },
    { do: 'take-off', why: 'the cluster is a restored copy' },
  ],
  [
    'a cluster that nobody knows',
    facts({}),
    { standing: 'none' },
    { do: 'take-off', why: 'the repository does not know the cluster' },
  ],
  ['switched off', facts({}), { walArchiving: false }, { do: 'take-off', why: 'the option wal-archiving is false' }],
])('%s', (_, given, change, expected) => {
  expect(decideArchiving(given, { ...wish, ...change })).toEqual(expected);
});

test('a name is overridden when another value wins, or none', () => {
  expect(
    overriddenNames(
      applied,
      new Map([
        ['archive_mode', 'on'],
        ['archive_command', '/bin/true'],
      ]),
    ),
  ).toEqual(['archive_command', 'archive_timeout']);
});

test('only wal_level and archive_mode wait for a restart', () => {
  expect(waitingForRestart(applied, effectiveOf({}))).toEqual(['archive_mode']);
  expect(waitingForRestart(applied, effectiveOf({ archive_mode: 'on' }))).toEqual([]);
});
