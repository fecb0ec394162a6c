/**
 * What a piece-choice policy is given and what it answers. A policy picks one piece to ask of one peer; it knows no
 * machine and keeps no state. Source of the two policies that exist: spec p2p.md §5.3.
 */
import type { Random } from '../../random/index.js';

/** Missing pieces in groups of equal availability, rarest group first. */
export interface RarityGroups {
  /** Number of groups; group `g` holds missing pieces that exactly `g` partial peers have. Complete peers count nowhere: they have everything. */
  readonly groups: number;
  /** Pieces in group `g`. */
  groupSize(g: number): number;
  /** The `i`-th piece of group `g`, 0 ≤ i < groupSize(g); order inside a group means nothing. */
  pieceAt(g: number, i: number): number;
  /** Group of `piece`. */
  groupOf(piece: number): number;
}

/** One question: which piece next? */
export interface PieceQuestion {
  /** Number of 32-piece words. */
  readonly words: number;
  /** Candidates of word `w`, as an unsigned 32-bit mask: bit i is piece 32 w + i. A candidate is wanted, missing, not asked elsewhere, and the peer has it. */
  candidates(w: number): number;
  /** Whether `piece` is one; the same answer as its bit in `candidates`. */
  isCandidate(piece: number): boolean;
  /** Lowest group that may hold a candidate: 0 for a complete peer, 1 for a partial one. */
  readonly lowestGroup: number;
  readonly rarity: RarityGroups;
  readonly random: Random;
}

/** Answers one question. @returns a candidate, or -1 when there is none. Must not cost more than O(words). */
export type PieceChoice = (question: PieceQuestion) => number;
