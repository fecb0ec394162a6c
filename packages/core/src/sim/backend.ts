/**
 * The storage behind the origins, and how a blob comes from there to those who hold it: the origin that is
 * asked reads it from the backend, then copies it to the other owners that lack it. Both pass the cards of the
 * origins through the link model, beside what peers get. Owns which reads and copies are under way and what
 * they came to. A copy that a crash cuts off is not repeated; the next one who asks starts another read.
 */
import { pieceCount, pieceLengthAt, type Digest, type MetaInfo } from '../content/index.js';
import type { Flow, LinkModel, Nic, Transfer } from './links/index.js';
import type { SimNode } from './node.js';

export interface SimBackendOptions {
  readonly links: LinkModel;
  /** Card of the storage: what all reads share. */
  readonly nic: Nic;
  /** One way, in milliseconds. */
  readonly latencyMs: number;
  /** Owners of a blob, first the one that is asked first. */
  readonly ownersOf: (digest: Digest) => readonly SimNode[];
}

export class SimBackend {
  bytesRead = 0;
  bytesBetweenOrigins = 0;
  readonly #options: SimBackendOptions;
  readonly #stored = new Map<Digest, MetaInfo>();
  readonly #reads = new Map<Digest, number>();
  /** By digest and node: what is on its way there. */
  readonly #underWay = new Map<string, CopyFlow>();

  constructor(options: SimBackendOptions) {
    this.#options = options;
  }

  /** Put a blob there. */
  store(metainfo: MetaInfo): void {
    this.#stored.set(metainfo.digest, metainfo);
  }

  /** Reads of the blob that was read most often. */
  get readsMax(): number {
    let most = 0;
    for (const reads of this.#reads.values()) most = Math.max(most, reads);
    return most;
  }

  /** An origin is asked for a blob that it lacks. @returns false when the backend does not have it either */
  fetch(digest: Digest, origin: SimNode): boolean {
    const metainfo = this.#stored.get(digest);
    if (metainfo === undefined) return false;
    const begun = this.#copy(metainfo, this.#options.nic, origin, () => {
      this.bytesRead += metainfo.length;
      for (const owner of this.#options.ownersOf(digest)) this.#share(metainfo, origin, owner);
    });
    if (begun) this.#reads.set(digest, (this.#reads.get(digest) ?? 0) + 1);
    return true;
  }

  #share(metainfo: MetaInfo, from: SimNode, to: SimNode): void {
    if (to === from || to.host === undefined || to.disk.file(metainfo.digest) !== undefined) return;
    this.#copy(metainfo, from.nic, to, () => (this.bytesBetweenOrigins += metainfo.length), from);
  }

  /** @returns false when the same is on its way already */
  #copy(metainfo: MetaInfo, source: Nic, to: SimNode, done: () => void, from?: SimNode): boolean {
    const key = `${metainfo.digest} ${to.number} ${from?.number ?? 'backend'}`;
    const known = this.#underWay.get(key);
    if (known !== undefined && !known.closed) return false;
    const flow = new CopyFlow(metainfo, source, { to, from }, this.#options.latencyMs, () => {
      this.#underWay.delete(key);
      if (to.disk.file(metainfo.digest) === undefined) to.disk.seed(metainfo);
      done();
    });
    this.#underWay.set(key, flow);
    this.#options.links.wake(flow);
    return true;
  }
}

/** One blob on its way to one origin, piece by piece. */
class CopyFlow implements Flow {
  readonly queue: Transfer[];
  readonly to: Nic;
  modelSlot = -1;
  modelRate = 0;
  readonly #ends: { readonly to: SimNode; readonly from: SimNode | undefined };
  /** The lives in which the copy began. */
  readonly #lives: readonly unknown[];
  readonly #done: () => void;
  #left: number;

  constructor(
    metainfo: MetaInfo,
    readonly from: Nic,
    ends: { to: SimNode; from: SimNode | undefined },
    public latencyMs: number,
    done: () => void,
  ) {
    this.#ends = ends;
    this.#lives = [ends.to.host, ends.from?.host];
    this.#done = done;
    this.to = ends.to.nic;
    this.#left = pieceCount(metainfo);
    this.queue = Array.from({ length: this.#left }, (_, piece) => ({
      length: pieceLengthAt(metainfo, piece),
      sent: 0,
    }));
  }

  get closed(): boolean {
    return this.#ends.to.host !== this.#lives[0] || this.#ends.from?.host !== this.#lives[1];
  }

  headArrived(): void {
    // Nobody reads a copy before it is whole.
  }

  sent(): void {
    // The sender has nothing to do then.
  }

  received(): void {
    if (--this.#left === 0) this.#done();
  }
}
