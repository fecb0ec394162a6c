/** The table of piece-choice policies. A new one is a file and a line here; the name is the value of `piece_request_policy`. */
import { randomPiece } from './default.js';
import type { PieceChoice } from './piece-choice.js';
import { rarestFirst } from './rarest-first.js';

export type { PieceChoice, PieceQuestion, RarityGroups } from './piece-choice.js';

/** Piece-choice policies by name. */
export type PieceChoices = Readonly<Record<string, PieceChoice>>;

/** What ships. */
export const PIECE_CHOICES: PieceChoices = {
  default: randomPiece,
  rarest_first: rarestFirst,
};
