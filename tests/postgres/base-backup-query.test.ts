import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import type { Connection } from 'pg';
import { describe, expect, test } from 'vitest';
import { BaseBackupQuery, type BaseBackupEvent } from '../../src/postgres/base-backup-query.ts';

/** The side of node-postgres that a query sees, with nobody behind it. */
function makeConnection(): { connection: Connection; asked: string[]; stream: PassThrough } {
  const asked: string[] = [];
  const stream = new PassThrough();
  stream.resume();
  const emitter = Object.assign(new EventEmitter(), { stream, query: (text: string) => asked.push(text) });
  const connection = emitter as unknown as Connection; // cast: only these members are used.
  return { connection, asked, stream };
}

async function collect(query: BaseBackupQuery): Promise<readonly BaseBackupEvent[]> {
  const events: BaseBackupEvent[] = [];
  for (let event = await query.next(1000); event !== undefined; event = await query.next(1000)) events.push(event);
  return events;
}

function answer(query: BaseBackupQuery, rows: readonly (readonly (string | null)[])[]): void {
  query.handleRowDescription();
  for (const fields of rows) query.handleDataRow({ fields });
  query.handleCommandComplete();
}

function say(query: BaseBackupQuery, text: string): void {
  query.handleCopyData({ chunk: Buffer.from(text) });
}

describe('the answers to a base backup', () => {
  test('from before 15 are one COPY for each tablespace, the data directory and the manifest', async () => {
    const query = new BaseBackupQuery('BASE_BACKUP LABEL …', false);
    const { connection, asked } = makeConnection();
    query.submit(connection);
    answer(query, [['0/2000028', '3']]);
    answer(query, [
      ['16384', '/srv/space', '10'],
      [null, null, '20'],
    ]);
    for (const copies of [['space, ', 'more'], ['data'], ['{manifest}']]) {
      connection.emit('copyOutResponse');
      for (const text of copies) say(query, text);
      connection.emit('copyDone');
    }
    answer(query, [['0/2000100', '3']]);
    query.handleCommandComplete();
    query.handleReadyForQuery();

    expect(asked).toEqual(['BASE_BACKUP LABEL …']);
    expect(await collect(query)).toEqual([
      { is: 'start', at: { lsn: 0x2000028n, timeline: 3 } },
      {
        is: 'tablespaces',
        all: [
          { oid: 16384, location: '/srv/space', estimatedBytes: 10 * 1024 },
          { oid: null, location: null, estimatedBytes: 20 * 1024 },
        ],
      },
      { is: 'archive', oid: 16384, location: '/srv/space' },
      { is: 'data', bytes: Buffer.from('space, more') },
      { is: 'archive', oid: null, location: null },
      { is: 'data', bytes: Buffer.from('data') },
      { is: 'manifest' },
      { is: 'data', bytes: Buffer.from('{manifest}') },
      { is: 'end', at: { lsn: 0x2000100n, timeline: 3 } },
    ]);
    expect(query.plainBytes).toBe('space, more'.length + 'data'.length + '{manifest}'.length);
  });

  test('are good after the buffer that they came in is used again', async () => {
    const query = new BaseBackupQuery('BASE_BACKUP (…)', true);
    query.submit(makeConnection().connection);
    const chunk = Buffer.from('dfirst');
    query.handleCopyData({ chunk });
    chunk.fill('x');
    query.handleCopyData({ chunk: Buffer.from('m') });
    query.handleReadyForQuery();

    expect(await collect(query)).toEqual([{ is: 'data', bytes: Buffer.from('first') }, { is: 'manifest' }]);
  });

  test('of a type that is not known end it', async () => {
    const query = new BaseBackupQuery('BASE_BACKUP (…)', true);
    const { connection, stream } = makeConnection();
    query.submit(connection);
    say(query, 'zwhat');

    await expect(query.next(1000)).rejects.toMatchObject({
      kind: 'postgres',
      message: expect.stringContaining('unknown type'),
    });
    expect(stream.destroyed).toBe(true);
  });

  test('that do not come are not waited for without end', async () => {
    const query = new BaseBackupQuery('BASE_BACKUP (…)', true);
    const { connection, stream } = makeConnection();
    query.submit(connection);

    await expect(query.next(30)).rejects.toMatchObject({
      kind: 'postgres',
      message: expect.stringContaining('has sent nothing for'),
    });
    expect(stream.destroyed).toBe(true);
  });

  test('rest while too much waits to be taken, and go on when it was', async () => {
    const query = new BaseBackupQuery('BASE_BACKUP (…)', true);
    const { connection, stream } = makeConnection();
    query.submit(connection);
    const message = Buffer.alloc(32 * 1024, 'd');
    for (let sent = 0; sent < 20 * 1024 * 1024; sent += message.byteLength) query.handleCopyData({ chunk: message });

    expect(stream.isPaused()).toBe(true);
    for (let taken = 0; taken < 17; taken += 1) await query.next(1000);
    expect(stream.isPaused()).toBe(false);
  });
});
