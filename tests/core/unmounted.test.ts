import { expect, test } from 'vitest';
import { unmountedAbove } from '../../src/core/unmounted.ts';

const fstab = String.raw`# a comment /srv/comment
UUID=1 / ext4 defaults 0 1
nas:/vol /srv/backup nfs defaults 0 0
/dev/sdb1	/srv/with\040blank/	ext4 noauto 0 0
UUID=2 none swap sw 0 0
`;
const mountinfo = '22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:40 / /srv/backup rw - nfs nas:/vol rw\n';

test.each([
  ['what is mounted', '/srv/backup/landscape', mountinfo, undefined],
  ['what is not mounted', '/srv/backup', mountinfo.split('\n')[0] ?? '', '/srv/backup'],
  ['a directory below it', '/srv/backup/landscape', mountinfo.split('\n')[0] ?? '', '/srv/backup'],
  ['a name with a blank and a slash', '/srv/with blank/x', mountinfo, '/srv/with blank'],
  ['a neighbour whose name begins alike', '/srv/backup2', '', undefined],
  ['a place that fstab does not know', '/mnt/x', '', undefined],
])('%s', (_, path, mounts, expected) => {
  expect(unmountedAbove(path, fstab, mounts)).toBe(expected);
});
