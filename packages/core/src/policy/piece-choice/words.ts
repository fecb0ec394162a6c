/** Walks over candidate words that both policies share. */
import type { PieceQuestion } from './piece-choice.js';

/** Number of bits set in a 32-bit mask. */
export function bitCount(mask: number): number {
  let x = mask >>> 0;
  x -= (x >>> 1) & 0x55555555;
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
  x = (x + (x >>> 4)) & 0x0f0f0f0f;
  return Math.imul(x, 0x01010101) >>> 24;
}

/** Index of the `n`-th set bit of a mask, n from 0. */
export function nthBit(mask: number, n: number): number {
  let rest = mask;
  for (let i = 0; i < n; i++) rest &= rest - 1;
  return 31 - Math.clz32(rest & -rest);
}

/** Visit words that hold candidates, from a random one on, once around; stops when `visit` answers false. */
export function walkWords(question: PieceQuestion, visit: (word: number, mask: number) => boolean): void {
  const { words } = question;
  if (words === 0) return;
  const first = question.random.below(words);
  for (let i = 0; i < words; i++) {
    const at = first + i;
    const w = at < words ? at : at - words;
    const mask = question.candidates(w);
    if (mask !== 0 && !visit(w, mask)) return;
  }
}
