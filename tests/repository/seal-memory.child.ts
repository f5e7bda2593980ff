/** Seals and reads back a stream of `argv[2]` MiB through a directory `argv[3]`, and prints the peak memory in MiB. */
import { readParts, storeParts } from '../../src/repository/parts.ts';
import { createRepository } from '../../src/repository/repository.ts';
import { sealed, sealOf, unsealed } from '../../src/repository/seal.ts';
import { noise } from '../storage/bytes.ts';
import { openAt } from '../storage/temporary-directory.ts';

const [mebibytes = '0', root = ''] = process.argv.slice(2);
const chunk = noise(65_536);

async function* stream(): AsyncIterable<Uint8Array> {
  for (let sent = 0; sent < Number(mebibytes) * 16; sent += 1) {
    const fresh = Buffer.from(chunk);
    fresh.writeUInt32LE(sent, 0);
    yield fresh;
  }
}

const { repository } = await createRepository(await openAt(root), new Date());
const seal = await sealOf(stream());
await repository.storage.put('large', sealed(stream(), seal, 1));
let read = 0;
for await (const each of unsealed(await repository.read('large'), 'large')) read += each.byteLength;
await repository.storage.remove('large');
const parts = await storeParts(repository, 'b/', 'base', stream(), 256 * 1024 * 1024);
for await (const each of readParts(repository, 'b/', parts)) read += each.byteLength;
process.stdout.write(`${JSON.stringify({ read, peakMiB: Math.round(process.resourceUsage().maxRSS / 1024) })}\n`);
