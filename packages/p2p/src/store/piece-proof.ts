/**
 * Strong checks of the pieces of one download: against the piece layer when its metainfo has a root; without one, against
 * what an earlier sender delivered for a piece that has come into doubt. Owns the layer while the download lasts, and
 * the hashes of doubted pieces. Bytes are hashed on their way to the disk where that can be, or read back from the file.
 *
 * Never decides what happens to a peer, never marks a piece.
 */
import { HASH_BYTES, leavesPerPiece, pieceLengthAt, type Bitfield, type MetaInfo } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { ownBytes } from '../own-bytes.js';
import { diskError } from './disk-error.js';
import type { PooledFile } from './file-pool.js';
import type { HashFollower } from './blob-hasher.js';
import type { PieceLayers } from './piece-layers.js';
import * as sidecars from './sidecars.js';

/** Pieces that are hashed at a time when many come into doubt. */
const DOUBTS_AT_ONCE = 4;

/** How a piece compares with what lay there before. */
export type Replaced = 'same' | 'different';

/** What a check found. `replaced` only for a piece in doubt. */
export interface ProofResult {
  /** `piece-forged`, or what kept us from looking. */
  readonly error?: KrakenError;
  readonly replaced?: Replaced;
}

/** A piece that is checked while its bytes pass. */
export interface PassingPiece {
  /** The next bytes; they must stay as they are until `done`, which is never called from inside. */
  add(bytes: Uint8Array, done: () => void): void;
  /** Once every `done` has been called for all bytes of the piece. */
  result(): ProofResult;
  /** No more bytes will come. */
  cancel(): void;
}

export class PieceProof {
  readonly #layers: PieceLayers;
  readonly #metainfo: MetaInfo;
  readonly #data: PooledFile;
  readonly #directory: string;
  readonly #width: number;
  #layer: Uint8Array | undefined;
  readonly #doubted = new Map<number, Uint8Array>();

  /**
   * @param data of the download
   * @param directory where the sidecar goes
   * @param layer checked; absent when it is not here yet, or there is no root
   */
  constructor(
    layers: PieceLayers,
    metainfo: MetaInfo,
    data: PooledFile,
    directory: string,
    layer: Uint8Array | undefined,
  ) {
    this.#layers = layers;
    this.#metainfo = metainfo;
    this.#data = data;
    this.#directory = directory;
    this.#width = leavesPerPiece(metainfo.length, metainfo.pieceLength);
    this.#layer = layer;
  }

  /** There is a root, but the layer is not here: no piece can be proved yet. */
  get isWaiting(): boolean {
    return this.#metainfo.piecesRoot !== undefined && this.#layer === undefined;
  }

  /** The checked layer, if it is here. */
  get layer(): Uint8Array | undefined {
    return this.#layer;
  }

  /** Take the layer over once it fits the root. @throws KrakenError `layer-invalid`, `io-error`, `disk-full` */
  async accept(layer: Uint8Array): Promise<void> {
    if (this.#layer !== undefined) return;
    await this.#layers.check(this.#metainfo, layer);
    try {
      await sidecars.writeLayer(this.#directory, layer);
    } catch (error) {
      throw diskError(error, 'write piece layer');
    }
    this.#layer ??= ownBytes(layer);
    this.#layers.remember(this.#metainfo, this.#layer);
  }

  /** Whether {@link check} has something to look at. */
  has(piece: number): boolean {
    return this.#metainfo.piecesRoot !== undefined || this.#doubted.has(piece);
  }

  /**
   * Check a piece while its bytes pass; `undefined` when only {@link check} can tell.
   * @param blob its hash goes on with the piece where it can
   */
  follow(piece: number, blob?: HashFollower): PassingPiece | undefined {
    if (this.#metainfo.piecesRoot === undefined || this.#layer === undefined) return undefined;
    const start = piece * this.#metainfo.pieceLength;
    // Of its own: a part of the layer would take all of it along to the thread.
    const expected = new Uint8Array(this.#layer.subarray(HASH_BYTES * piece, HASH_BYTES * (piece + 1)));
    const passing = blob && { blob, start, expected };
    const feed = this.#layers.hasher.feed(pieceLengthAt(this.#metainfo, piece), this.#width, passing);
    let failure: KrakenError | undefined;
    let found: Uint8Array | undefined;
    return {
      add: (bytes, done) =>
        feed.add(bytes, (error, hash) => {
          failure ??= error;
          found ??= hash;
          done();
        }),
      result: () => {
        if (failure !== undefined) return { error: failure };
        return found !== undefined && this.#proves(piece, found) ? {} : { error: forged(piece) };
      },
      cancel: () => feed.cancel(),
    };
  }

  /** Check a piece whose bytes are all written. `done` is never called from inside. */
  check(piece: number, done: (result: ProofResult) => void): void {
    this.#hash(piece, (error, hash) => {
      if (error !== undefined) done({ error });
      else if (this.isWaiting) done({ error: new KrakenError('internal', `piece ${piece} came before its layer`) });
      else if (this.#metainfo.piecesRoot === undefined) done(this.#compared(piece, hash));
      else if (this.#proves(piece, hash)) done({});
      else done({ error: forged(piece) });
    });
  }

  /** Remember what lies on disk for `pieces`, so that what replaces it can be compared. */
  async doubt(pieces: Bitfield): Promise<void> {
    const left = pieces[Symbol.iterator]();
    const work = async (): Promise<void> => {
      for (const piece of left) {
        const hash = await new Promise<Uint8Array>((resolve, reject) => {
          this.#hash(piece, (error, found) => (error === undefined ? resolve(found) : reject(error)));
        });
        this.#doubted.set(piece, hash);
      }
    };
    await Promise.all(Array.from({ length: DOUBTS_AT_ONCE }, work));
  }

  #compared(piece: number, hash: Uint8Array): ProofResult {
    const before = this.#doubted.get(piece);
    this.#doubted.delete(piece);
    return before === undefined ? {} : { replaced: equal(before, hash) ? 'same' : 'different' };
  }

  #proves(piece: number, hash: Uint8Array): boolean {
    const at = HASH_BYTES * piece;
    return this.#layer !== undefined && equal(this.#layer.subarray(at, at + HASH_BYTES), hash);
  }

  #hash(piece: number, done: (error: KrakenError | undefined, hash: Uint8Array) => void): void {
    const { pieceLength } = this.#metainfo;
    const work = (fd: number): void => {
      const length = pieceLengthAt(this.#metainfo, piece);
      this.#layers.hasher.piece({ fd, position: piece * pieceLength, length, width: this.#width }, (error, hash) => {
        this.#data.release();
        done(error, hash);
      });
    };
    const fd = this.#data.tryAcquire();
    if (fd !== -1) {
      work(fd);
      return;
    }
    this.#data.acquire().then(work, (error: unknown) => done(diskError(error, 'hash a piece'), new Uint8Array(0)));
  }
}

function forged(piece: number): KrakenError {
  return new KrakenError('piece-forged', `piece ${piece} does not match its hash in the piece layer`);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
