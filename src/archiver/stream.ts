import { Failure, toFailure } from '../core/failure.ts';
import { timelineOfSegment, timelinePath } from '../core/timeline.ts';
import { segmentName, segmentOf } from '../core/wal-name.ts';
import { noteArchiveFailure, noteArchiveSuccess } from '../system/archive-state.ts';
import { makePrivateFolder } from '../system/home.ts';
import { readStreamMarker, streamFolder, type StreamMarker } from '../system/stream-marker.ts';
import { Backoff } from './backoff.ts';
import { StreamDestination } from './stream-session.ts';
import { firstReceived, readReceived, resumesAt, seed } from './stream-folder.ts';
import { Leftovers } from './stream-leftovers.ts';
import { StreamPush } from './stream-push.ts';
import type { Receiver, ResidentStream, StreamLook, StreamSource } from './stream-source.ts';
import { makeWake } from './wake.ts';

const pollMs = 1000;
/** A receiver that has lived so long was none of the failures that come again at once. */
const livedMs = 30_000;

interface Receiving {
  readonly receiver: Receiver;
  readonly since: number;
  /** What it said at its end; `undefined` while it lives. */
  said: string | undefined;
}

/** The stream of one incarnation: what receives, and what brings it to the destination. */
class Stream {
  readonly #with: ResidentStream;
  readonly #marker: StreamMarker;
  readonly folder: string;
  readonly #push: StreamPush;
  readonly #destination: StreamDestination;
  readonly #receiving = new Backoff();
  readonly #pushing = new Backoff();
  #source: StreamSource | undefined;
  #received: Receiving | undefined;
  /** Where the stream began, as long as what the server has from before is not stored. */
  #earlier: { readonly look: StreamLook; readonly first: number } | undefined;

  constructor(stream: ResidentStream, marker: StreamMarker) {
    this.#with = stream;
    this.#marker = marker;
    this.folder = streamFolder(stream.unit, marker.incarnation);
    this.#push = new StreamPush(this.folder, stream.step);
    this.#destination = new StreamDestination(stream.unit);
  }

  isOf(marker: StreamMarker): boolean {
    return marker.slot === this.#marker.slot && marker.incarnation === this.#marker.incarnation;
  }

  get isReceiving(): boolean {
    return this.#received !== undefined && this.#received.said === undefined;
  }

  /** Sees to it that WAL is received; says why it is not. */
  async receive(): Promise<string | undefined> {
    const now = this.#received;
    if (now !== undefined && now.said === undefined) {
      if (performance.now() - now.since > livedMs) this.#receiving.succeeded();
      return undefined;
    }
    if (now !== undefined) {
      this.#received = undefined;
      this.#receiving.failed();
      return `pg_receivewal ended: ${now.said ?? ''}`;
    }
    if (!this.#receiving.isOver) return undefined;
    try {
      return await this.#begin();
    } catch (error) {
      this.#receiving.failed();
      throw error;
    }
  }

  async #begin(): Promise<string | undefined> {
    const source = (this.#source = await this.#with.source());
    const look = await source.look(this.#marker.slot);
    if (look.slotLsn === undefined) {
      this.#receiving.failed();
      return look.why ?? 'there is no slot to stream from';
    }
    await makePrivateFolder(this.folder);
    this.#with.step('folder made');
    const first = await this.#prepare(look, segmentOf(look.slotLsn, look.segmentSize));
    if (this.#earlier === undefined || this.#earlier.first !== first) this.#earlier = { look, first };
    const receiver = await source.receive(this.#marker.slot, this.folder);
    this.#with.step('receiving');
    const receiving: Receiving = { receiver, since: performance.now(), said: undefined };
    void receiver.ended.then(({ stderr }) => {
      receiving.said = stderr.trim().split('\n').at(-1) ?? '';
    });
    this.#received = receiving;
    return undefined;
  }

  /**
   * Makes the folder such that `pg_receivewal` goes on where the server can serve: after what it has received before, where
   * that is the server's own past, else at the slot's beginning.
   */
  async #prepare(look: StreamLook, slotSegment: number): Promise<number> {
    const path = timelinePath(look.timeline, look.history, look.segmentSize);
    const received = await readReceived(this.folder);
    const resume = resumesAt(received, look.segmentSize);
    if (resume !== undefined) {
      const isPast = look.timeline === resume.timeline || timelineOfSegment(path, resume.segment) === resume.timeline;
      const isServed = resume.segment >= slotSegment && resume.segment <= segmentOf(look.lsn, look.segmentSize);
      if (isPast && isServed) return resume.segment;
      // What lies ahead of the server, or beside it, would be taken for its newest: it has to be stored and gone first.
      if (resume.segment > slotSegment) {
        await this.#retire(look);
      }
    }
    const timeline = timelineOfSegment(path, slotSegment) ?? look.timeline;
    const name = segmentName(timeline, slotSegment, look.segmentSize);
    const left = await readReceived(this.folder);
    if (
      !left.unfinished.some(({ segment }) => segment.name === name) &&
      !left.finished.some((each) => each.name === name)
    ) {
      await seed(this.folder, name);
      this.#with.step('begun');
    }
    return slotSegment;
  }

  /** Stores all that lies here and removes it, after what the server has from before: what is stored has no gap. */
  async #retire(look: StreamLook): Promise<void> {
    const session = await this.#session();
    if (session === undefined) throw new Failure('refused', 'who this unit is changed while WAL was streamed');
    const first = firstReceived(await readReceived(this.folder), look.segmentSize);
    if (first !== undefined && this.#source !== undefined)
      await this.#push.pushEarlier(session, this.#source.walFolder, look, first);
    await this.#push.retire(session);
  }

  async #session() {
    const source = (this.#source ??= await this.#with.source());
    return await this.#destination.session(this.#marker.incarnation, source.dataDirectory);
  }

  /** Stores what is new, also what is left from before the slot was lost. */
  async push(): Promise<void> {
    if (!this.#pushing.isOver) return;
    if (this.#earlier === undefined && !(await this.#push.isDue())) return;
    try {
      const session = await this.#session();
      if (session === undefined) return;
      const earlier = this.#earlier;
      const source = this.#source;
      if (earlier !== undefined && source !== undefined) {
        await this.#push.pushEarlier(session, source.walFolder, earlier.look, earlier.first);
        if (this.#earlier === earlier) this.#earlier = undefined;
      }
      await this.#push.push(session);
      this.#pushing.succeeded();
      await noteArchiveSuccess(this.#with.unit, this.#with.clock.now());
      this.#with.step('success noted');
    } catch (error) {
      this.#destination.close();
      this.#source = undefined;
      this.#pushing.failed();
      const oldest = (await readReceived(this.folder)).finished[0]?.name ?? 'the WAL stream';
      await noteArchiveFailure(this.#with.unit, oldest, error, this.#with.clock.now());
      this.#with.step('failure noted');
      throw error;
    }
  }

  /** Ends receiving, and waits until nobody writes into the folder any more. */
  async close(): Promise<void> {
    const { receiver, said } = this.#received ?? {};
    if (receiver !== undefined && said === undefined) {
      receiver.kill('SIGINT');
      const timer = setTimeout(() => {
        receiver.kill('SIGKILL');
      }, 5000);
      await receiver.ended;
      clearTimeout(timer);
    }
    this.#received = undefined;
    this.#destination.close();
  }
}

/**
 * Receives the server's WAL as it is written and stores it, as long as the unit's marker says that there is a slot for it:
 * finished segments whole, and every few seconds what is new of the one that is not.
 *
 * The slot advances with what is durable in our folder, so that a kill at any instant loses nothing: what lies there is looked
 * at anew. Call it with the lock of the unit's archiver held.
 */
export async function runStream(resident: ResidentStream): Promise<void> {
  const { unit, signal } = resident;
  const wake = makeWake(signal);
  let stream: Stream | undefined;
  const leftovers = new Leftovers(resident);
  let told: string | undefined;
  const say = (sentence: string) => {
    if (sentence !== told) resident.say(sentence);
    told = sentence;
  };
  while (!signal.aborted) {
    try {
      const marker = await readStreamMarker(unit);
      if (stream !== undefined && (marker === undefined || !stream.isOf(marker))) {
        await stream.close();
        stream = undefined;
      }
      if (marker === undefined) {
        await leftovers.store();
        if (told !== undefined) say('streaming has ended');
      } else {
        stream ??= new Stream(resident, marker);
        const why = await stream.receive();
        wake.look(stream.folder);
        await stream.push();
        if (why !== undefined) say(`not streaming: ${why.replaceAll(/\s+/g, ' ')}`);
        else if (stream.isReceiving) say('streaming');
      }
    } catch (error) {
      const { message, hint } = toFailure(error);
      say(`streaming: ${message}${hint === undefined ? '' : `. ${hint}`}`);
    }
    await wake.wait(pollMs);
  }
  wake.close();
  await stream?.close();
}
