/**
 * Random choice: a random candidate of the first word that holds one, from a random word on. Differs from Go's
 * reservoir sampling, which visits every piece and favours the first beyond the quota (spec p2p.md §5.3).
 */
import type { PieceChoice } from './piece-choice.js';
import { bitCount, nthBit, walkWords } from './words.js';

export const randomPiece: PieceChoice = (question) => {
  let chosen = -1;
  walkWords(question, (word, mask) => {
    chosen = word * 32 + nthBit(mask, question.random.below(bitCount(mask)));
    return false;
  });
  return chosen;
};
