import { chmod, rename, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { archiveWal } from '../../src/archiver/archive-wal.ts';
import { toFailure } from '../../src/core/failure.ts';
import { readArchiveState } from '../../src/system/archive-state.ts';
import { machineClock } from '../../src/system/clock.ts';
import { credentialsFile, settingsFile } from '../../src/system/home.ts';
import { until } from '../setup/wait.ts';
import { segmentBytes } from '../setup/wal-unit.ts';
import { byAcknowledgement, makeResidentUnit, type ResidentUnit } from './resident-unit.ts';

let at: ResidentUnit;
let running: Awaited<ReturnType<ResidentUnit['start']>> | undefined;

beforeEach(async () => {
  at = await makeResidentUnit();
  running = undefined;
});

afterEach(async () => {
  await running?.stop();
  await at.remove();
});

/** Starts an archiver that counts how often it opens the repository and finds it in order. */
async function startCounting(): Promise<() => number> {
  let opened = 0;
  running = await at.start((step) => {
    if (step === 'repository proven') opened += 1;
  });
  return () => opened;
}

async function untilState(state: 'ok' | 'failing'): Promise<void> {
  await until(`the state is ${state}`, async () => (await readArchiveState(at.unit))?.state === state);
}

/** What PostgreSQL's own call says of a file, and whether its log has that already. */
async function callFails(name: string): Promise<{ message: string; hint: string | null; isKnown: boolean }> {
  let isKnown = false;
  const request = { unit: at.unit, dataDirectory: at.dataDirectory, name, path: `pg_wal/${name}` };
  const known = () => {
    isKnown = true;
  };
  const failure = await archiveWal(request, machineClock, { known }).then(
    () => expect.fail('the call succeeded'),
    (error: unknown) => toFailure(error),
  );
  return { message: failure.message, hint: failure.hint ?? null, isKnown };
}

const causes: Readonly<Record<string, (name: string) => Promise<() => Promise<void>>>> = {
  'the destination is away': async () => {
    await rename(at.destination, `${at.destination}.away`);
    return async () => {
      await rename(`${at.destination}.away`, at.destination);
    };
  },
  'another repository is meant': async () => {
    await rename(at.unit.pin, `${at.unit.pin}.away`);
    await writeFile(at.unit.pin, JSON.stringify({ repositoryId: 'f'.repeat(32), url: at.url }));
    return async () => {
      await rename(`${at.unit.pin}.away`, at.unit.pin);
    };
  },
  'the file is not of this cluster': async (name) => {
    await at.write(name, segmentBytes({ timeline: 1, number: 5, systemIdentifier: '42' }));
    return async () => {
      await at.write(name, segmentBytes({ timeline: 1, number: 5 }));
    };
  },
  'the file is stored with other bytes': async (name) => {
    await at.write(name, segmentBytes({ timeline: 1, number: 5, fill: 'other' }));
    const first = await at.start();
    await until('it is stored', async () => await at.stored(name).then(Boolean, () => false));
    await first.stop();
    await at.write(name, segmentBytes({ timeline: 1, number: 5 }));
    return async () => {
      await at.write(name, segmentBytes({ timeline: 1, number: 5, fill: 'other' }));
    };
  },
};

test.for(Object.entries(causes))(
  'when %s, the status gets from the archiver what the log gets from PostgreSQL, and the log gets it once',
  async ([, cause]) => {
    const name = await at.ready({ timeline: 1, number: 5 });
    const mend = await cause(name);
    running = await at.start();
    await untilState('failing');

    const noted = await readArchiveState(at.unit);
    const first = await callFails(name);
    const second = await callFails(name);

    expect(noted).toMatchObject({ name, message: first.message, hint: first.hint });
    expect([first.isKnown, second.isKnown]).toEqual([false, true]);
    expect(running.sentences).toEqual([first.hint === null ? first.message : `${first.message}. ${first.hint}`]);
    await mend();
    await archiveWal({ unit: at.unit, dataDirectory: at.dataDirectory, name, path: `pg_wal/${name}` }, machineClock);
    expect(await readArchiveState(at.unit)).toMatchObject({ state: 'ok' });
  },
);

test('what may pass is tried again by itself, and the state says when it has passed', async () => {
  const name = await at.ready({ timeline: 1, number: 5 });
  await rename(at.destination, `${at.destination}.away`);
  running = await at.start();
  await untilState('failing');

  await rename(`${at.destination}.away`, at.destination);

  await untilState('ok');
  expect(await at.call(name)).toMatchObject(byAcknowledgement);
});

const changes: Readonly<Record<string, (name: string) => Promise<void>>> = {
  'the settings are written': async () => {
    await writeFile(settingsFile(at.home), `destination: ${at.url}\n`);
  },
  'credentials are written': async () => {
    await writeFile(credentialsFile(at.home), 's3-secret-key: new\n');
    await chmod(credentialsFile(at.home), 0o640);
  },
  'PostgreSQL gets past it': async (name) => {
    await at.done(name);
  },
};

test.for(Object.entries(changes))('what can not pass is left until %s', async ([, change]) => {
  const bad = await at.ready({ timeline: 1, number: 5, systemIdentifier: '42' });
  await at.ready({ timeline: 1, number: 6 });
  const opened = await startCounting();
  await untilState('failing');

  await sleep(3500); // With retries two of them come within this time.
  expect(opened()).toBe(1);

  await change(bad);
  await until('it is tried again', () => Promise.resolve(opened() > 1));
});

test('a failure of a file that is not there any more does not stay in the state', async () => {
  const name = await at.ready({ timeline: 1, number: 5 });
  await rename(at.destination, `${at.destination}.away`);
  running = await at.start();
  await untilState('failing');
  await at.done(name);

  await rename(`${at.destination}.away`, at.destination);

  await untilState('ok');
});

test('while nothing waits a destination that is away is no failure to archive', async () => {
  await rename(at.destination, `${at.destination}.away`);
  running = await at.start();
  await until('it has said so', () => Promise.resolve(running?.sentences.length === 1));
  await running.stop();

  expect(await readArchiveState(at.unit)).toBeUndefined();
});
