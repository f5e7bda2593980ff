import { createServer, request as ask, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { S3Fault } from './s3-server.ts';

/**
 * What goes wrong with a request on its way to a real server.
 *
 * - a number: it is refused with this status and never arrives
 * - `drop-before`, `drop-after`: the connection is cut before the server has heard of it, or after it has answered
 * - `truncate`: the answer's body is cut in its middle
 * - `shorten`: so it is, and the answer says that this was all
 * - `stall`: the server does it, and there is no answer
 */
export type HttpFault = S3Fault | 'shorten';

/** A way to an HTTP server on loopback that knows what a request is. */
export interface HttpProxy {
  readonly port: number;
  /** Every request, as `PUT /bucket/key?query`. */
  readonly requests: string[];
  /** Asked for each request before it is passed on. */
  fault: (request: string) => HttpFault | undefined;
  /** How wrong the server's clock is told. */
  clockShiftMs: number;
  stop(): Promise<void>;
}

/** Starts a proxy to a port of this machine. Headers pass as they are, so what was signed stays valid. */
export async function startHttpProxy(target: number): Promise<HttpProxy> {
  const proxy = new Proxy(target);
  await proxy.listen();
  return proxy;
}

class Proxy implements HttpProxy {
  port = 0;
  clockShiftMs = 0;
  readonly requests: string[] = [];
  fault: HttpProxy['fault'] = () => undefined;
  readonly #target: number;
  readonly #server = createServer((request, response) => {
    void this.#pass(request, response).catch(() => request.destroy());
  });

  constructor(target: number) {
    this.#target = target;
  }

  async listen(): Promise<void> {
    // Who asks first whether he may send his body is answered by the server behind us or, here, by its refusal later.
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    if (address !== null && typeof address === 'object') this.port = address.port;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const name = `${request.method ?? ''} ${(request.url ?? '').replace(/[&?]x-id=\w+/, '')}`;
    this.requests.push(name);
    const fault = this.fault(name);
    if (fault === 'drop-before') return void request.destroy();
    if (typeof fault === 'number') {
      for await (const _chunk of request);
      const text = `<Error><Code>${fault === 503 ? 'SlowDown' : 'Scripted'}</Code><Message>no</Message></Error>`;
      response.writeHead(fault, { 'content-type': 'application/xml', 'content-length': text.length });
      return void response.end(text);
    }
    const answer = await this.#forward(request);
    if (fault === 'drop-after' || fault === 'stall') {
      for await (const _chunk of answer);
      if (fault === 'drop-after') request.destroy();
      return;
    }
    await this.#answer(answer, response, fault);
  }

  async #forward(request: IncomingMessage): Promise<IncomingMessage> {
    const { method, url, rawHeaders } = request;
    const onward = ask({ host: '127.0.0.1', port: this.#target, method, path: url, agent: false });
    for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
      const [name = '', value = ''] = rawHeaders.slice(at, at + 2);
      if (!/^(connection|expect)$/i.test(name)) onward.setHeader(name, value);
    }
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    onward.once('response', resolve).once('error', reject);
    await Promise.all([pipeline(request, onward), promise]);
    return await promise;
  }

  async #answer(answer: IncomingMessage, response: ServerResponse, fault: HttpFault | undefined): Promise<void> {
    const headers = { ...answer.headers };
    delete headers.connection;
    if (this.clockShiftMs !== 0) headers.date = new Date(Date.now() + this.clockShiftMs).toUTCString();
    const chunks: Buffer[] = [];
    for await (const chunk of answer) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const half = body.subarray(0, body.byteLength / 2);
    if (fault === 'shorten' && headers['content-length'] !== undefined) {
      headers['content-length'] = String(half.byteLength);
    }
    response.writeHead(answer.statusCode ?? 500, headers);
    if (fault === 'truncate') response.write(half, () => response.destroy());
    else response.end(fault === 'shorten' ? half : body);
  }
}
