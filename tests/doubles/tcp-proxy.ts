import { createConnection, createServer, type Socket } from 'node:net';

/** What goes wrong on the way, from the moment it is set until it is changed. */
type WayFault =
  | 'none'
  /** New connections are cut before a byte. */
  | 'refuse'
  /** Nothing moves any more, and nobody is told. */
  | 'stall';

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
  stop(): Promise<void>;
}

/** Starts a proxy to a port of this machine. */
export async function startTcpProxy(target: number): Promise<TcpProxy> {
  const way = new Way(target);
  await way.listen();
  return way;
}

class Way implements TcpProxy {
  port = 0;
  connections = 0;
  fault: WayFault = 'none';
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

  async stop(): Promise<void> {
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
    near.on('data', (chunk: Buffer) => this.#pass('up', chunk, far));
    far.on('data', (chunk: Buffer) => this.#pass('down', chunk, near));
  }

  #pass(direction: 'up' | 'down', chunk: Buffer, to: Socket): void {
    if (this.fault === 'stall') return;
    this.#left[direction] -= chunk.byteLength;
    if (this.#left[direction] > 0) to.write(chunk);
    else this.cut();
  }
}
