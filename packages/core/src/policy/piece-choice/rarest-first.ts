/**
 * Rarest first: groups of equal availability from the rarest on, ties broken at random. Each group is probed a bounded
 * number of times from a random place; when no probe hits, the rarest of a sample of all candidates is taken. Differs
 * from Go (spec p2p.md §5.3, §10.26): no heap over all pieces, and ties are random, so that equal peers do not all ask
 * for the same piece.
 */
import type { PieceChoice, PieceQuestion } from './piece-choice.js';
import { walkWords } from './words.js';

/** Probes in one group. Guess: a group in which 1 piece in 5 is a candidate is then missed once in 35 tries. */
const PROBES_PER_GROUP = 16;
/** Probes of one question, before the sample. Guess. */
const PROBES_MAX = 64;
/** Candidates looked at in the sample. Guess. */
const SAMPLE_MAX = 32;

export const rarestFirst: PieceChoice = (question) => {
  const { rarity, random } = question;
  let probesLeft = PROBES_MAX;
  for (let g = question.lowestGroup; g < rarity.groups && probesLeft > 0; g++) {
    const size = rarity.groupSize(g);
    if (size === 0) continue;
    const probes = Math.min(size, PROBES_PER_GROUP, probesLeft);
    probesLeft -= probes;
    const first = random.below(size);
    for (let i = 0; i < probes; i++) {
      const at = first + i;
      const piece = rarity.pieceAt(g, at < size ? at : at - size);
      if (question.isCandidate(piece)) return piece;
    }
  }
  return rarestOfSample(question);
};

function rarestOfSample(question: PieceQuestion): number {
  let chosen = -1;
  let chosenGroup = Infinity;
  let seen = 0;
  walkWords(question, (word, mask) => {
    for (let rest = mask; rest !== 0; rest &= rest - 1) {
      const piece = word * 32 + (31 - Math.clz32(rest & -rest));
      const group = question.rarity.groupOf(piece);
      if (group < chosenGroup) {
        chosen = piece;
        chosenGroup = group;
      }
      if (++seen === SAMPLE_MAX) return false;
    }
    return true;
  });
  return chosen;
}
