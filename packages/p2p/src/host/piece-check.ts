/**
 * How the bytes of a received piece are judged: by CRC-32 and by the torrent file's proof while they come, or by
 * the proof once they are all written. Owns nothing.
 */
import { isKrakenError } from '@kraken/core/errors';
import type { PieceVerdict } from '@kraken/core/swarm';
import type { PassingPiece, ProofResult } from '../store/piece-proof.js';
import type { TorrentFile } from '../store/piece-store.js';

/** What a check found. `replaced` only for a piece that was in doubt. */
export interface PieceJudgement {
  readonly verdict: Exclude<PieceVerdict, 'bad-sum' | 'aborted'>;
  readonly replaced?: 'same' | 'different';
}

export interface PieceCheck {
  /** CRC-32 that the bytes must have; absent when the proof is as good. */
  readonly sum: number | undefined;
  /** Wants to see the bytes, all and in order; `prove` waits for that. Absent: nobody looks but for the sum. */
  readonly passing: Pick<PassingPiece, 'add' | 'cancel'> | undefined;
  /** Called when all bytes are written; `done` is never called from inside. Absent: the sum is all there is. */
  readonly prove: ((done: (judgement: PieceJudgement) => void) => void) | undefined;
}

/** The check of a piece of `file`. With a root the CRC-32 is not computed: SHA-256 says more. */
export function pieceCheck(file: TorrentFile, piece: number): PieceCheck {
  const { proof, metainfo } = file;
  const sum = metainfo.piecesRoot === undefined ? metainfo.pieceSums[piece] : undefined;
  if (proof?.has(piece) !== true) return { sum, passing: undefined, prove: undefined };
  const passing = file.follow?.(piece);
  if (passing !== undefined) {
    return { sum, passing, prove: (done) => queueMicrotask(() => done(judgementOf(passing.result()))) };
  }
  return { sum, passing, prove: (done) => proof.check(piece, (result) => done(judgementOf(result))) };
}

function judgementOf({ error, replaced }: ProofResult): PieceJudgement {
  const verdict = error === undefined ? 'ok' : isKrakenError(error, 'piece-forged') ? 'forged' : verdictOf(error);
  return { verdict, ...(replaced === undefined ? {} : { replaced }) };
}

/** What a disk error means for the piece. */
export function verdictOf(error: Error): 'disk-full' | 'io-error' {
  return isKrakenError(error, 'disk-full') ? 'disk-full' : 'io-error';
}
