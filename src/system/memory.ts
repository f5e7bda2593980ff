/**
 * Gives the memory of some bytes back at once. The garbage collector does it late: it would let several times of what is used
 * pile up first.
 *
 * For bytes that nobody reads or writes any more, nor the memory that they are a part of: all that share it are empty from then
 * on. What is small may lie in memory that all of the program shares, and stays.
 */
export function giveBack({ buffer, byteLength }: Uint8Array): void {
  if (!(buffer instanceof ArrayBuffer) || buffer.detached) return;
  if (byteLength < buffer.byteLength && buffer.byteLength < 2 * Buffer.poolSize) return; // Node's pool.
  buffer.transfer(0);
}

/** How much passes between two looks for young buffers: a fraction of what a program may take, and a look takes a millisecond. */
const passedBytes = 4 * 1024 * 1024;
let passed = 0;

/**
 * Counts bytes that a socket or a file has given and that are used up, and every few MiB frees what nobody holds of them.
 *
 * What a socket reads lies outside the heap, and reading makes V8 look for what is free there only when tens of MiB have piled
 * up, and then through all of the program. A look at what is young alone is a fraction of that. Nothing is done in programs
 * without `--expose-gc`, which `charm/bin/landscape-backup` gives.
 */
export function usedUp(bytes: number): void {
  passed += bytes;
  if (passed < passedBytes) return;
  passed = 0;
  globalThis.gc?.({ type: 'minor', execution: 'sync' });
}
