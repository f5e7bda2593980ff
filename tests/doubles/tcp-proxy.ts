import { createConnection, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What goes wrong on the way, from the moment it is set until it is changed. */
type WayFault =
  | 'none'
  /** New connections are cut before a byte. */
  | 'refuse'
  /** Nothing moves any more, and nobody is told. */
  | 'stall'
  /** Every stretch of bytes takes its time. */
  | 'slow';

/** What goes wrong for a while, as soon as so many bytes have passed one way since the trouble before was over. */
export interface Trouble {
  readonly way: 'up' | 'down';
  readonly afterBytes: number;
  /** `cut` lasts an instant. What `stall` has swallowed never arrives, so its end cuts, too. */
  readonly do: 'cut' | 'refuse' | 'stall' | 'slow';
  readonly forMs: number;
}

/** A way to a server on loopback that can be cut. */
export interface TcpProxy {
  readonly port: number;
  /** How many connections were made through it. */
  readonly connections: number;
  fault: WayFault;
  /** Cuts all connections now. */
  cut(): void;
  /** Cuts all connections as soon as so many more bytes have passed, up to the server or down from it. */
  cutAfter(direction: 'up' | 'down', bytes: number): void;
  /** Lets one trouble after the other come. */
  trouble(script: readonly Trouble[]): void;
  /** How many of them have come. */
  readonly troubles: number;
  stop(): Promise<void>;
}

/** Starts a proxy to a port of this machine. */
export async function startTcpProxy(target: number): Promise<TcpProxy> {
  const way = new Way(target);
  await way.listen();
  return way;
}

const slowMs = 20;

class Way implements TcpProxy {
  port = 0;
  connections = 0;
  fault: WayFault = 'none';
  troubles = 0;
  #script: Trouble[] = [];
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => this.#accept(socket));
  readonly #left = { up: Infinity, down: Infinity };

  constructor(target: number) {
    this.#target = target;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    if (address !== null && typeof address === 'object') this.port = address.port;
  }

  cut(): void {
    this.#left.up = Infinity;
    this.#left.down = Infinity;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  cutAfter(direction: 'up' | 'down', bytes: number): void {
    this.#left[direction] = bytes;
  }

  trouble(script: readonly Trouble[]): void {
    this.#script = [...script];
    this.troubles = 0;
    this.#await();
  }

  async stop(): Promise<void> {
    this.#script = [];
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(near: Socket): void {
    this.connections += 1;
    if (this.fault === 'refuse') {
      near.destroy();
      return;
    }
    const far = createConnection(this.#target, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined); // Being cut is what it is for.
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    near.on('data', (chunk: Buffer) => void this.#pass('up', chunk, near, far));
    far.on('data', (chunk: Buffer) => void this.#pass('down', chunk, far, near));
  }

  async #pass(direction: 'up' | 'down', chunk: Buffer, from: Socket, to: Socket): Promise<void> {
    if (this.fault === 'stall') return;
    this.#left[direction] -= chunk.byteLength;
    if (this.#left[direction] <= 0) {
      this.#come();
      return;
    }
    if (this.fault === 'slow') {
      from.pause();
      await sleep(slowMs);
      from.resume();
    }
    if (!to.write(chunk)) {
      from.pause();
      to.once('drain', () => from.resume());
    }
  }

  /** Sees to it that the next trouble comes in its time. */
  #await(): void {
    const [next] = this.#script;
    this.#left.up = next?.way === 'up' ? next.afterBytes : Infinity;
    this.#left.down = next?.way === 'down' ? next.afterBytes : Infinity;
  }

  #come(): void {
    const trouble = this.#script.shift();
    if (trouble === undefined || trouble.do === 'cut') this.cut();
    if (trouble === undefined) return;
    this.troubles += 1;
    if (trouble.do === 'cut') {
      this.#await();
      return;
    }
    this.#left.up = Infinity;
    this.#left.down = Infinity;
    if (trouble.do === 'refuse') this.cut();
    this.fault = trouble.do;
    setTimeout(() => {
      this.fault = 'none';
      if (trouble.do === 'stall') this.cut();
      this.#await();
    }, trouble.forMs);
  }
}
