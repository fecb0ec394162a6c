/** How many pieces a blob has. */

/** Number of pieces of `length` bytes. */
export function pieceCountOf(length: number, pieceLength: number): number {
  return length === 0 ? 0 : Math.floor((length - 1) / pieceLength) + 1;
}
