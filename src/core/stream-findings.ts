import type { Finding, StreamFact } from './health-facts.ts';
import { formatBytes } from './words.ts';

/** How a stream goes, in words. */
export function streamText({ isReceived, waitingBytes, boundBytes }: StreamFact): string {
  const how = isReceived ? 'WAL is streamed' : 'WAL is kept for the stream';
  return `${how}: ${formatBytes(waitingBytes)} wait, ${formatBytes(boundBytes)} may`;
}

/** What is to be said of a stream, and to be done about it. */
export function aboutStream(label: string, stream: StreamFact): readonly Finding[] {
  const { refusal, slot, isReceived, isNearBound } = stream;
  if (refusal !== undefined)
    return [{ level: 'blocked', text: `${label}: its WAL can't be streamed: ${refusal.why}`, next: refusal.hint }];
  if (slot === 'absent')
    return [
      {
        level: 'alarm',
        text: `${label}: WAL is not streamed: there is no replication slot of ours`,
        next: 'landscape-backup run-due makes it, once what was received before is stored.',
      },
    ];
  if (slot === 'lost')
    return [
      {
        level: 'alarm',
        text: `${label}: PostgreSQL has removed WAL that the stream still needed`,
        next: 'landscape-backup run-due begins anew and takes a backup; raise max_slot_wal_keep_size.',
      },
    ];
  if (isNearBound)
    return [
      {
        level: 'alarm',
        text: `${label}: ${streamText(stream)}; beyond that the slot is dropped, and a new backup is needed`,
        next: isReceived ? 'landscape-backup check says what is in the way.' : receiverHint,
      },
    ];
  if (!isReceived)
    return [{ level: 'attention', text: `${label}: ${streamText(stream)}; nobody receives it`, next: receiverHint }];
  return [];
}

const receiverHint =
  'The archiver receives it, within a minute of a restart: does it run, and what does its journal say?';
