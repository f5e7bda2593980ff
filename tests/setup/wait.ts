import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until a question has the right answer, and says what it was when it never does. */
export async function until(what: string, isTrue: () => Promise<boolean>, seconds = 30): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`after ${seconds} s it is still not so that ${what}`);
    await sleep(50);
  }
}

/** Waits until somebody listens at a port of loopback. */
export async function acceptsConnections(port: number, seconds = 30): Promise<void> {
  await until(
    `somebody listens at port ${port}`,
    async () =>
      await new Promise<boolean>((resolve) => {
        const socket = createConnection(port, '127.0.0.1');
        socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
        socket.once('connect', () => socket.destroy());
      }),
    seconds,
  );
}
