/**
 * How the bytes of a received piece are judged: by CRC-32 while they come, by the torrent file's proof once they are all
 * written, or both. Owns nothing.
 */
import { isKrakenError } from '@kraken/core/errors';
import type { PieceVerdict } from '@kraken/core/swarm';
import type { TorrentFile } from '../store/piece-store.js';

/** What a check found. `replaced` only for a piece that was in doubt. */
export interface PieceJudgement {
  readonly verdict: Exclude<PieceVerdict, 'bad-sum' | 'aborted'>;
  readonly replaced?: 'same' | 'different';
}

export interface PieceCheck {
  /** CRC-32 that the bytes must have; absent when the proof is as good. */
  readonly sum: number | undefined;
  /** Called when all bytes are written; `done` is never called from inside. Absent: the sum is all there is. */
  readonly prove: ((done: (judgement: PieceJudgement) => void) => void) | undefined;
}

/** The check of a piece of `file`. With a root the CRC-32 is not computed: SHA-256 says more. */
export function pieceCheck(file: TorrentFile, piece: number): PieceCheck {
  const { proof, metainfo } = file;
  const prove =
    proof?.has(piece) !== true
      ? undefined
      : (done: (judgement: PieceJudgement) => void): void =>
          proof.check(piece, ({ error, replaced }) => {
            const verdict =
              error === undefined ? 'ok' : isKrakenError(error, 'piece-forged') ? 'forged' : verdictOf(error);
            done({ verdict, ...(replaced === undefined ? {} : { replaced }) });
          });
  return { sum: metainfo.piecesRoot === undefined ? metainfo.pieceSums[piece] : undefined, prove };
}

/** What a disk error means for the piece. */
export function verdictOf(error: Error): 'disk-full' | 'io-error' {
  return isKrakenError(error, 'disk-full') ? 'disk-full' : 'io-error';
}
