/** Flat arrays of numbers that grow. */

/** Twice the length, the second half zeros. */
export function doubled<T extends Float64Array | Int32Array | Uint8Array>(array: T): T {
  const grown = new (array.constructor as new (length: number) => T)(array.length * 2);
  grown.set(array);
  return grown;
}
