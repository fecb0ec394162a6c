/** Bytes that are kept for long must not keep more than themselves. */

/**
 * The same bytes in a buffer of their own. Small buffers of Node's (response bodies, parts of sockets' reads) lie in a slab
 * of 8 KiB or more, all of which lives as long as one of them.
 */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}
