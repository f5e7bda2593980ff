import { createServer, request as ask, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

/** A proxy of the network that lets everything through to one port of this machine, whatever host is asked for. */
export interface ConnectProxy {
  readonly port: number;
  /** What it was asked for, as `CONNECT host:443` or `GET http://host/path`, with what came as credentials. */
  readonly asked: string[];
  stop(): Promise<void>;
}

/** Starts one in front of a port. */
export async function startConnectProxy(target: number): Promise<ConnectProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const note = ({ method = '', url = '', headers }: IncomingMessage) => {
    const credentials = headers['proxy-authorization'];
    const said = credentials === undefined ? '' : ` as ${atob(credentials.replace('Basic ', ''))}`;
    asked.push(`${method} ${url.replace(/\?.*$/, '')}${said}`);
  };
  const forward = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    note(incoming);
    const { pathname, search } = new URL(incoming.url ?? '', 'http://none');
    const options = { port: target, host: '127.0.0.1', method: incoming.method, path: `${pathname}${search}` };
    const onward = ask({ ...options, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  };
  const server = createServer(forward);
  server.on('connect', (incoming, near) => {
    note(incoming);
    const far = connect(target, '127.0.0.1', () => {
      near.write('HTTP/1.1 200 Connection established\r\n\r\n');
      near.pipe(far).pipe(near);
    });
    far.on('error', () => near.destroy());
    near.on('error', () => far.destroy());
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
  });
  const port = await listening(server);
  return {
    port,
    asked,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A server with the certificate below that hands everything on to a port. */
export async function startTlsFront(target: number): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createTlsServer({ key: storeKey, cert: storeCertificate }, (near) => {
    const far = connect(target, '127.0.0.1');
    sockets.add(near);
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    near.pipe(far).pipe(near);
  });
  const port = await listening(server);
  return {
    port,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function listening(
  server: ReturnType<typeof createServer> | ReturnType<typeof createTlsServer>,
): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Of store.example, by itself, for a hundred years; a host that no name server knows. */
export const storeCertificate = [
  '-----BEGIN CERTIFICATE-----',
  'MIIBuTCCAV+gAwIBAgIUGbjgy6roZcAUTIV25AkiO+lqPTcwCgYIKoZIzj0EAwIw',
  'GDEWMBQGA1UEAwwNc3RvcmUuZXhhbXBsZTAgFw0yNjExMjUxNzAwMzNaGA8yMTI2',
  'MTEwMTE3MDAzM1owGDEWMBQGA1UEAwwNc3RvcmUuZXhhbXBsZTBZMBMGByqGSM49',
  'AgEGCCqGSM49AwEHA0IABPWz6Mflwl3AP00QPWgufj5fpo8H9NN5xwykq8BRmNNa',
  'L/rIrM2gQ6w2/9fyLYrgL87riBkOCdTi96AHcUwIdcejgYQwgYEwHQYDVR0OBBYE',
  'FFnie1cq4tA7WJJuLY9jTr4gRi7XMB8GA1UdIwQYMBaAFFnie1cq4tA7WJJuLY9j',
  'Tr4gRi7XMA8GA1UdEwEB/wQFMAMBAf8wLgYDVR0RBCcwJYINc3RvcmUuZXhhbXBs',
  'ZYIUYnVja2V0LnN0b3JlLmV4YW1wbGUwCgYIKoZIzj0EAwIDSAAwRQIhAJaec3Rc',
  'ezv51fni32eK0HU5fpBP1itYAVucI1jRDP/rAiBximGXrRxsWQepITE2Mjoa/qeS',
  'g12XmEa9fJeGQZsKkA==',
  '-----END CERTIFICATE-----',
].join('\n');

const storeKey = [
  '-----BEGIN PRIVATE KEY-----',
  'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgF2PKRjxn1FJqQ64m',
  'QgHGX79kGUzlrScQlfWcv4m9xW2hRANCAAT1s+jH5cJdwD9NED1oLn4+X6aPB/TT',
  'eccMpKvAUZjTWi/6yKzNoEOsNv/X8i2K4C/O64gZDgnU4vegB3FMCHXH',
  '-----END PRIVATE KEY-----',
].join('\n');
