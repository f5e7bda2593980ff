/**
 * Seals and reads back a stream of `argv[2]` MiB through a directory `argv[3]`, encrypted when `argv[4]` is `age`, and prints
 * the peak memory in MiB.
 */
import { readParts, storeParts } from '../../src/repository/parts.ts';
import { createRepository } from '../../src/repository/repository.ts';
import { compressedAs, sealOf } from '../../src/repository/seal.ts';
import { plainForm, storedForm, storedName } from '../../src/repository/stored-form.ts';
import { encryptionFor, newAgeKey } from '../setup/age.ts';
import { noise } from '../storage/bytes.ts';
import { openAt } from '../storage/temporary-directory.ts';

const [mebibytes = '0', root = '', form = 'none'] = process.argv.slice(2);
const chunk = noise(65_536);

async function* stream(): AsyncIterable<Uint8Array> {
  for (let sent = 0; sent < Number(mebibytes) * 16; sent += 1) {
    const fresh = Buffer.from(chunk);
    fresh.writeUInt32LE(sent, 0);
    yield fresh;
  }
}

const key = newAgeKey();
const encryption = form === 'age' ? encryptionFor([key], [key]) : undefined;
const { repository } = await createRepository(await openAt(root), new Date(), encryption);
const { keys } = repository;
const large = storedName(keys, 'large');
const seal = await sealOf(stream());
await repository.storage.put(large, storedForm(keys, seal, compressedAs(stream(), seal, 1)));
let read = 0;
for await (const each of plainForm(keys, await repository.read(large), large)) read += each.byteLength;
await repository.storage.remove(large);
const parts = await storeParts(repository, 'b/', 'base', stream(), 256 * 1024 * 1024);
for await (const each of readParts(repository, 'b/', parts)) read += each.byteLength;
process.stdout.write(`${JSON.stringify({ read, peakMiB: Math.round(process.resourceUsage().maxRSS / 1024) })}\n`);
