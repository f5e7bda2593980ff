import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseSettings } from '../../../src/core/settings.ts';
import { destinationsAt } from '../../../src/jobs/job-context.ts';
import { backupFiles } from '../../../src/jobs/landscape/backup-files.ts';
import { checkFiles } from '../../../src/jobs/landscape/check-files.ts';
import type { LandscapeContext } from '../../../src/jobs/landscape/context.ts';
import { landscapeFacts } from '../../../src/jobs/landscape/facts.ts';
import { keepSecond } from '../../../src/jobs/second.ts';
import { copyRepository } from '../../../src/repository/copy.ts';
import { openDestinations } from '../../../src/repository/open-destinations.ts';
import { createRepository, openRepository } from '../../../src/repository/repository.ts';
import { openDirectory } from '../../../src/storage/directory.ts';
import { LackingFolder } from '../../../src/system/lacking.ts';
import { objectsAt } from '../second-site.ts';
import { isRoot, makeLandscapeUnit, type LandscapeTestUnit } from '../../setup/landscape-unit.ts';

let unit: LandscapeTestUnit;
let context: LandscapeContext;
let first: string;
let second: string;

beforeEach(async () => {
  unit = await makeLandscapeUnit({ profile: 'quickstart', whose: 'production' });
  [first, second] = [join(unit.root, 'srv/first'), join(unit.root, 'srv/second')];
  for (const each of [first, second]) await mkdir(each, { recursive: true });
  const settings = parseSettings({ destination: first, 'destination-2': second });
  context = { ...unit.context, settings, clock: { now: () => new Date() } };
  const open = async (path: string) => await openDirectory(path, { url: `file://${path}`, isShared: () => true });
  const { repository } = await createRepository(await open(first), new Date());
  const watch = { signal: new AbortController().signal, copied: () => undefined, readBack: () => undefined };
  await copyRepository({ original: repository, copy: await open(second) }, watch);
});
afterEach(async () => {
  await unit.remove();
});

async function keepFiles(): Promise<void> {
  const storage = await openDestinations(destinationsAt(context));
  try {
    await backupFiles(context, async () => await openRepository(storage, undefined), { join: true });
  } finally {
    await storage.close();
  }
}

/** What the unit publishes of the second, so many minutes from now. */
async function told(minutes: number) {
  const clock = { now: () => new Date(Date.now() + minutes * 60_000) };
  const { files } = await landscapeFacts({ ...context, clock });
  expect(files.failure).toBeNull();
  return files.second;
}

async function checked() {
  const { checks } = await checkFiles(context);
  return checks.find(({ name }) => name === 'second destination');
}

describe.skipIf(!isRoot)('a Landscape unit whose files go to a second destination too', () => {
  test('says nothing of one that has everything, and check proves it', async () => {
    await keepFiles();

    expect(await objectsAt(second)).toEqual(await objectsAt(first));
    expect(await told(60)).toEqual([]);
    expect(await checked()).toMatchObject({ ok: true, what: expect.stringMatching(/overwrite.*it lacks nothing$/) });
    // A probe is about the destination at which it is tried.
    const left = await readdir(second, { recursive: true, withFileTypes: true });
    expect(left.filter((each) => each.isFile() && each.parentPath.includes('probes'))).toEqual([]);
  });

  test('tells one that is away, and what it lacks then', async () => {
    await keepFiles();
    await rename(second, `${second}-away`);
    await unit.write('etc/landscape/service.conf', await changed());
    await keepFiles();

    const [away, ...more] = await told(10);
    expect(more).toEqual([]);
    expect(away).toMatchObject({
      level: 'attention',
      text: expect.stringMatching(/^files: the second destination.* is not there.*; it lacks \d objects?, since /),
      next: expect.any(String),
    });
    expect((await told(40))[0]).toMatchObject({ level: 'alarm' });
    expect(await checked()).toMatchObject({ ok: false, what: expect.stringMatching(/^the second destination: /) });

    await rename(`${second}-away`, second);
    await new LackingFolder(context.unit.path).clearAway('second');
    expect(await told(10)).toMatchObject([
      {
        level: 'attention',
        text: expect.stringMatching(/second lacks \d objects?, since /),
        next: expect.stringContaining('run-due-files'),
      },
    ]);
    expect(await checked()).toMatchObject({ ok: true, what: expect.stringMatching(/\d objects are still to be/) });

    const signal = new AbortController().signal;
    expect(await keepSecond({ ...context, signal }, { fills: false })).toMatchObject({ is: 'kept', left: 0 });
    expect(await told(60)).toEqual([]);
    expect(await objectsAt(second)).toEqual(await objectsAt(first));
  });
});

async function changed(): Promise<string> {
  return `${await unit.read('etc/landscape/service.conf')}\n# changed\n`;
}
