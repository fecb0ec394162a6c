/**
 * The storage behind the origins, and how a blob comes from there to those who hold it: whoever is asked, the first
 * owner that runs reads it from the backend, then copies it to the other owners that lack it. Both pass the cards of the
 * origins through the link model, beside what peers get. Owns which reads and copies are under way and what
 * they came to. A copy that a crash cuts off is not repeated; the next one who is asked starts another read.
 */
import { pieceCount, pieceLengthAt, type Digest, type MetaInfo } from '../content/index.js';
import { Transfer, TransferQueue, type Flow, type LinkModel, type Nic } from './links/index.js';
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
  fetch(digest: Digest, asked: SimNode): boolean {
    const metainfo = this.#stored.get(digest);
    if (metainfo === undefined) return false;
    const [first] = this.#options.ownersOf(digest);
    // When the first owner has it already, a copy was cut off: who was asked reads it anew.
    const origin = first === undefined || first.disk.file(digest) !== undefined ? asked : first;
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
    const { links, latencyMs } = this.#options;
    const flow = new CopyFlow(metainfo, source, { to, from }, { links, latencyMs }, () => {
      this.#underWay.delete(key);
      if (to.disk.file(metainfo.digest) === undefined) to.disk.seed(metainfo);
      done();
    });
    this.#underWay.set(key, flow);
    flow.sent();
    return true;
  }
}

/** One blob on its way to one origin. Each piece is queued behind what the card has to send by then. */
class CopyFlow implements Flow {
  readonly queue = new TransferQueue();
  readonly to: Nic;
  readonly latencyMs: number;
  modelSlot = -1;
  readonly #ends: { readonly to: SimNode; readonly from: SimNode | undefined };
  /** The lives in which the copy began. */
  readonly #lives: readonly unknown[];
  readonly #metainfo: MetaInfo;
  readonly #links: LinkModel;
  readonly #done: () => void;
  #queued = 0;
  #received = 0;

  constructor(
    metainfo: MetaInfo,
    readonly from: Nic,
    ends: { to: SimNode; from: SimNode | undefined },
    { links, latencyMs }: { links: LinkModel; latencyMs: number },
    done: () => void,
  ) {
    this.#ends = ends;
    this.#lives = [ends.to.host, ends.from?.host];
    this.#done = done;
    this.#metainfo = metainfo;
    this.#links = links;
    this.latencyMs = latencyMs;
    this.to = ends.to.nic;
  }

  get closed(): boolean {
    return this.#ends.to.host !== this.#lives[0] || this.#ends.from?.host !== this.#lives[1];
  }

  headArrived(): void {
    // Nobody reads a copy before it is whole.
  }

  /** Go on with the next piece. */
  sent(): void {
    if (this.#queued === pieceCount(this.#metainfo)) return;
    this.queue.push(new Transfer(pieceLengthAt(this.#metainfo, this.#queued++)));
    this.#links.wake(this);
  }

  received(): void {
    if (++this.#received === pieceCount(this.#metainfo)) this.#done();
  }
}
