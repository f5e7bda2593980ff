/** Makes the machine `argv[2]`, lets a program sleep in it, and waits to be killed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { makeSiteMachine } from './machine.ts';

const name = process.argv[2] ?? '';
const machine = await makeSiteMachine({ name });
void machine.execute(['sh', '-c', `sleep 1000; : ${name}`]);
await sleep(200);
process.stdout.write('sleeps\n');
await sleep(60_000);
