/**
 * Puts objects into a directory until it is killed or has made `count`: `put.child.ts <root> <key> <seed> <bytes> <count>`.
 *
 * With a count of 1 the key is taken as it is; otherwise `-<number>` is added. Prints one line per put: its key and how it
 * ended. Waits for its input to end before it begins, so that several can begin at once.
 */
import { openAt } from './temporary-directory.ts';
import { bodyOf, noise } from './bytes.ts';
import { isFailure } from '../../src/core/failure.ts';

const [root = '', key = '', seed = '1', length = '0', count = '1'] = process.argv.slice(2);
const storage = await openAt(root);
const plain = noise(Number(length), Number(seed));
process.stdout.write('ready\n');
for await (const _chunk of process.stdin);
for (let number = 1; number <= Number(count); number += 1) {
  const name = count === '1' ? key : `${key}-${number}`;
  try {
    await storage.put(name, bodyOf(plain.subarray(0, plain.byteLength / 2), plain.subarray(plain.byteLength / 2)));
    process.stdout.write(`${name} stored\n`);
  } catch (error) {
    process.stdout.write(`${name} ${isFailure(error) ? error.kind : String(error)}\n`);
  }
}
