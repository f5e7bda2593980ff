import { AsyncLocalStorage } from 'node:async_hooks';
import { join } from 'node:path';
import type { Receiver } from '../../src/archiver/stream-source.ts';
import { archiveCommand } from '../../src/core/archiving-decision.ts';
import type { SlotFacts } from '../../src/core/streaming.ts';
import { testIdentifier } from '../setup/wal-unit.ts';
import { historySegmentSize } from './history-size.ts';
import type { StreamedServer } from './streaming-server.ts';

const asked = new AsyncLocalStorage<StreamedServer>();

/** Does something in whose course this server is asked. */
export async function withServer<T>(server: StreamedServer, work: () => Promise<T>): Promise<T> {
  return await asked.run(server, work);
}

function server(): StreamedServer {
  const found = asked.getStore();
  if (found === undefined) throw new Error('no server is asked here');
  return found;
}

/** What takes the place of `postgres/`: the server of the history that asks. */
export const query = {
  withConnection: async <T>(_address: unknown, work: (connection: object) => Promise<T>): Promise<T> => await work({}),
};

export const slots = {
  readStreamFacts: async () => {
    const { slot, isReceiving, lsn } = server();
    const facts: SlotFacts | undefined =
      slot === undefined
        ? undefined
        : {
            restartLsn: slot.isLost ? undefined : BigInt(slot.restart),
            activePid: isReceiving ? 1 : undefined,
            isLost: slot.isLost,
          };
    return await Promise.resolve({
      versionNumber: 150_000,
      isInRecovery: false,
      walLevel: 'replica',
      synchronousNames: '',
      slot: facts,
      keptBytes: slot === undefined || slot.isLost ? 0 : lsn - slot.restart,
      freeBytes: 1024 ** 3,
    });
  },
  createSlot: async () => await Promise.resolve(server().createSlot()),
  dropSlot: async () => await Promise.resolve(server().dropSlot()),
  freeSlot: async () => await Promise.resolve(server().endReceiver('terminated')),
};

export const controlData = {
  readControlData: async () =>
    await Promise.resolve({ systemIdentifier: testIdentifier, segmentSize: historySegmentSize }),
};

export const writingPlace = {
  readWritingPlace: async () => {
    const { timeline, lsn, history } = server();
    const switches = history.map(({ parent, at }) => ({ parent, at: BigInt(at) }));
    return await Promise.resolve({ timeline, lsn: BigInt(lsn), history: switches });
  },
  walDirectory: () => server().walFolder,
};

export const reloading = { currentLsn: async () => await Promise.resolve(BigInt(server().lsn)) };

export const effective = {
  readEffective: async () => {
    const { archives, dataDirectory } = server();
    return await Promise.resolve(
      new Map([
        ['archive_command', { value: archives ? archiveCommand('/opt/runtime', join(dataDirectory, '..')) : '' }],
        ['archive_mode', { value: archives ? 'on' : 'off' }],
      ]),
    );
  },
};

export const replication = { connectReplication: async () => await Promise.resolve({ end: async () => undefined }) };

export const locks = {
  takeLockWithin: async () => await Promise.resolve({ release: async () => undefined }),
  isLockHeld: async () => await Promise.resolve(true),
};

export const receivers = {
  startReceiver: (_cluster: unknown, _slot: string, folder: string): Receiver => {
    const from = server();
    let stop = () => undefined as void;
    const ended = new Promise<{ stderr: string }>((resolve) => {
      stop = from.startReceiver(folder, (stderr) => resolve({ stderr }));
    });
    return { ended, kill: () => stop() };
  },
};
