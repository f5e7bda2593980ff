import { writeFile } from 'node:fs/promises';
import { dump } from 'js-yaml';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { layout } from '../../src/repository/layout.ts';
import { credentialsFile } from '../../src/system/home.ts';
import { S3Server } from '../doubles/s3-server.ts';
import { until } from '../setup/wait.ts';
import { isStored, makeResidentUnit, type ResidentUnit } from './resident-unit.ts';

const options = { 's3-access-key': 'FIRSTKEYOFTEST', 's3-secret-key': 'first-secret' };

let server: S3Server;
let at: ResidentUnit;
let running: Awaited<ReturnType<ResidentUnit['start']>>;
let names: readonly string[];
/** The puts that are on their way and get no answer yet, by their segment's name. */
let held: ReadonlyMap<string, PromiseWithResolvers<void>>;
let onTheirWay: ReadonlySet<string>;

/** More segments than are looked at at once, the first two of which are under way. */
beforeEach(async () => {
  server = await S3Server.start();
  const endpoint = `http://127.0.0.1:${server.port}`;
  at = await makeResidentUnit({ destination: 's3://bucket/ours', 's3-endpoint': endpoint, ...options });
  const numbers = Array.from({ length: 75 }, (_, index) => index + 5);
  names = await Promise.all(numbers.map(async (number) => await at.ready({ timeline: 1, number })));
  held = new Map(names.slice(0, 2).map((name) => [name, Promise.withResolvers<void>()]));
  const begun = new Set<string>();
  onTheirWay = begun;
  server.hold = async (request) => {
    const [name, holding] = [...held].find(([each]) => request.startsWith('PUT ') && request.includes(each)) ?? [];
    if (name !== undefined) begun.add(name);
    await holding?.promise;
  };
  running = await at.start();
  await until('the first two are on their way', async () => await Promise.resolve(onTheirWay.size === 2));
});

afterEach(async () => {
  for (const { resolve } of held.values()) resolve();
  await running.stop();
  await at.remove();
  await server.stop();
});

function release(name: string | undefined): void {
  held.get(name ?? '')?.resolve();
}

/** What is known when the archiver has looked once. */
const looked = 64;

test('one that takes long holds up nothing but itself, however many there are', async () => {
  const [slow, ...others] = names;
  release(others[0]);
  await at.untilAcknowledged(others);
  expect(await at.acknowledged()).toEqual(others);

  release(slow);
  await at.untilAcknowledged(names);
  expect(await isStored(at, slow ?? '', { timeline: 1, number: 5 })).toBe(true);
  expect(running.sentences).toEqual(['archiving']);
});

test('other credentials wait until what is under way has ended with those it began with, and count from then on', async () => {
  const [slow = '', ...others] = names;
  await writeFile(credentialsFile(at.home), dump({ ...options, 's3-access-key': 'SECONDKEYOFTEST' }), { mode: 0o640 });
  release(others[0]);
  await at.untilAcknowledged(others.slice(0, looked - 1));
  server.keys = new Set(['SECONDKEYOFTEST']);
  expect(await at.acknowledged()).toEqual(others.slice(0, looked - 1));

  release(slow);
  await at.untilAcknowledged(names);
  expect(running.sentences).toEqual(['archiving']);
  const puts = server.requests.filter((each) => each.startsWith('PUT ') && each.includes(slow));
  expect(puts.length).toBe(1);
});

test('whose the incarnation is is asked anew all the time, also with something under way', async () => {
  const [slow = '', ...others] = names;
  const key = `ours/${layout.owner(at.place)}`;
  const owner = server.objects.get(key);
  if (owner === undefined) throw new Error(`${key} is not there`);
  const bytes = Buffer.from(owner.bytes.toString().replace('owner-a', 'owner-b'));
  server.objects.set(key, { ...owner, bytes });
  release(others[0]);
  await at.untilAcknowledged(others.slice(0, looked - 1));
  release(slow);
  await until('it has said so', async () => await Promise.resolve(running.sentences.length > 0));

  expect(running.sentences.at(-1)).toContain('belongs to');
  expect(await at.acknowledged()).toEqual(names.slice(0, looked));
  const stored = [...server.objects.keys()].filter((each) => names.some((name) => each.includes(name)));
  expect(stored.length).toBe(looked);
});
