import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'vitest';
import type { Storage } from '../../src/storage/storage.ts';
import { faultyStorage, type Fault } from '../doubles/faulty-storage.ts';
import type { HttpFault, HttpProxy } from '../doubles/http-proxy.ts';
import type { TcpProxy, Trouble } from '../doubles/tcp-proxy.ts';
import type { ContractDestination } from '../storage/contract.ts';
import { tellUnderFaults } from './fault-story.ts';

/** An empty destination at the end of a bad way. */
export interface FarDestination extends ContractDestination {
  /** Opens it through the proxy. */
  through(): Promise<Storage>;
}

const on = fc.constantFrom('put', 'get', 'list', 'folders', 'remove');
const nth = fc.integer({ min: 1, max: 5 });
const afterBytes = fc.nat({ max: 40_000 });

/** Every fault that the wrapper knows, in any of the first calls of its kind; what a wrong clock does is another test's. */
const fault: fc.Arbitrary<Fault> = fc.oneof(
  fc.record({ on, nth, do: fc.constantFrom('fail-before', 'fail-after') }),
  fc.record({ on: fc.constant('get'), nth, do: fc.constantFrom('truncate', 'break'), afterBytes }),
  fc.record({ on: fc.constant('put'), nth, do: fc.constant('break'), afterBytes }),
  fc.tuple(on, nth).map(([call, at]): Fault => ({
    on: call,
    nth: at,
    do: 'stall',
    get release() {
      return sleep(30);
    },
  })),
);

/** The story of a repository over a destination in the wrapper that fails. */
export function wrapperFaults(name: string, make: () => Promise<ContractDestination>, numRuns: number): void {
  test(`over ${name}: whatever call fails before, after or in its middle, what was acknowledged is there`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fault, { minLength: 1, maxLength: 8 }), async (script) => {
        const site = await make();
        try {
          await tellUnderFaults({
            faulty: async () => faultyStorage(await site.open(), script),
            sound: async () => await site.open(),
            passing: ['unavailable', 'damaged'],
          });
        } finally {
          await site.destroy();
        }
      }),
      { numRuns },
    );
  }, 1_800_000);
}

const trouble: fc.Arbitrary<Trouble> = fc.record({
  way: fc.constantFrom('up', 'down'),
  // The smaller ones fall into greetings, questions and answers, the larger ones into bytes of objects.
  afterBytes: fc.oneof(fc.integer({ min: 1, max: 4000 }), fc.integer({ min: 1, max: 150_000 })),
  do: fc.constantFrom('cut', 'cut', 'refuse', 'stall', 'slow'),
  forMs: fc.integer({ min: 20, max: 700 }),
});

/** The same over a way to a real server that is cut, silent, closed or slow at any byte. */
export function wayFaults(
  name: string,
  proxy: () => TcpProxy,
  make: () => Promise<FarDestination>,
  numRuns: number,
): void {
  test(`over ${name}: at whatever byte the way is cut, silent, closed or slow, what was acknowledged is there`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(trouble, { minLength: 2, maxLength: 10 }), async (script) => {
        const site = await make();
        proxy().trouble(script);
        try {
          await tellUnderFaults({
            faulty: async () => await site.through(),
            sound: async () => await site.open(),
            passing: ['unavailable'],
          });
        } finally {
          proxy().trouble([]);
          await site.destroy();
        }
      }),
      { numRuns },
    );
  }, 1_800_000);
}

const request = fc.record({
  method: fc.constantFrom('GET', 'PUT', 'POST', 'DELETE'),
  nth: fc.integer({ min: 1, max: 8 }),
  do: fc.constantFrom<HttpFault>(503, 500, 429, 'drop-before', 'drop-after', 'truncate', 'stall'),
});

/** The same over a way to a real S3 store that answers for it, loses or cuts its answers, or never brings them. */
export function requestFaults(proxy: () => HttpProxy, make: () => Promise<FarDestination>, numRuns: number): void {
  test('whatever becomes of any request on its way to an S3 store, what was acknowledged is there', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 2, maxLength: 12 }), async (script) => {
        const site = await make();
        const counts = new Map<string, number>();
        proxy().fault = (name) => {
          const method = name.split(' ')[0] ?? '';
          counts.set(method, (counts.get(method) ?? 0) + 1);
          return script.find((each) => each.method === method && each.nth === counts.get(method))?.do;
        };
        try {
          await tellUnderFaults({
            faulty: async () => await site.through(),
            sound: async () => await site.open(),
            passing: ['unavailable'],
          });
        } finally {
          proxy().fault = () => undefined;
          await site.destroy();
        }
      }),
      { numRuns },
    );
  }, 1_800_000);
}
