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
