/**
 * Piece layers on disk: the sidecar `_piecelayer` of blobs and downloads, read back only through the root that the
 * metainfo names. Owns the sidecar and a bounded memory of layers that have been checked. Never fetches one.
 */
import { HASH_BYTES, layerBytes, type Digest, type MetaInfo } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import type { Metrics } from '@kraken/core/ports';
import type { PieceHasher } from './piece-hasher.js';
import * as sidecars from './sidecars.js';

/** Checked layers in memory. Guess: 16 MiB, those of a hundred blobs of 20 GB, or of 20,000 small ones. */
const MEMORY_MAX_BYTES = 16 * 1024 * 1024;
/** What a layer takes beside its bytes: keys, an entry of a map, an array and its buffer. Of most blobs it is the larger part. */
const ENTRY_BYTES = 768;

interface Checked {
  readonly piecesRoot: string;
  readonly layer: Uint8Array;
}

export class PieceLayers {
  readonly hasher: PieceHasher;
  readonly #metrics: Metrics;
  /** The longest unused first. */
  readonly #checked = new Map<Digest, Checked>();
  #bytes = 0;

  constructor(hasher: PieceHasher, metrics: Metrics) {
    this.hasher = hasher;
    this.#metrics = metrics;
  }

  /**
   * The checked layer of a blob with a root. That of a blob of one piece is the root.
   * @param directory where the sidecar lies
   * @returns `undefined` without a root, and when what lies there does not fit it
   */
  async read(metainfo: MetaInfo, directory: string): Promise<Uint8Array | undefined> {
    const { piecesRoot } = metainfo;
    if (piecesRoot === undefined) return undefined;
    const derived = derivedLayer(metainfo);
    if (derived !== undefined) return derived;
    const { digest } = metainfo;
    const known = this.#checked.get(digest);
    if (known?.piecesRoot === piecesRoot) {
      this.#checked.delete(digest);
      this.#checked.set(digest, known);
      return known.layer;
    }
    const stored = await sidecars.readLayer(directory, layerBytes(metainfo.length, metainfo.pieceLength));
    if (stored === undefined) return undefined;
    if (!(await this.#fits(stored, metainfo))) {
      this.#metrics.count('store_bad_piece_layers');
      return undefined;
    }
    this.remember(metainfo, stored);
    return stored;
  }

  /** @throws KrakenError `layer-invalid` unless `layer` is the one under the root of `metainfo` */
  async check(metainfo: MetaInfo, layer: Uint8Array): Promise<void> {
    if (await this.#fits(layer, metainfo)) return;
    throw new KrakenError('layer-invalid', `the piece layer of ${metainfo.digest} does not fit its root`);
  }

  /** A checked layer that is likely to be asked for. @param layer in a buffer of its own, see {@link ownBytes} */
  remember({ digest, piecesRoot }: MetaInfo, layer: Uint8Array): void {
    if (piecesRoot === undefined) return;
    this.forget(digest);
    this.#checked.set(digest, { piecesRoot, layer });
    this.#bytes += layer.length + ENTRY_BYTES;
    for (const oldest of this.#checked.keys()) {
      if (this.#bytes <= MEMORY_MAX_BYTES) return;
      this.forget(oldest);
    }
  }

  /** The blob has gone. */
  forget(digest: Digest): void {
    const known = this.#checked.get(digest);
    if (known === undefined) return;
    this.#bytes -= known.layer.length + ENTRY_BYTES;
    this.#checked.delete(digest);
  }

  /** Layers in memory now. */
  get size(): number {
    return this.#checked.size;
  }

  async #fits(layer: Uint8Array, { length, pieceLength, piecesRoot }: MetaInfo): Promise<boolean> {
    return piecesRoot !== undefined && (await this.hasher.root(layer, length, pieceLength)) === piecesRoot;
  }
}

/** The layer that needs no fetching: of a blob of one piece it is the root. */
export function derivedLayer({ length, pieceLength, piecesRoot }: MetaInfo): Uint8Array | undefined {
  if (piecesRoot === undefined || layerBytes(length, pieceLength) !== HASH_BYTES) return undefined;
  return new Uint8Array(Buffer.from(piecesRoot, 'hex'));
}
