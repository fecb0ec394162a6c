/** What is in the cluster and who wants it: blobs with their origins, and the pulls of the agents. */
import {
  canHaveRoot,
  createMetaInfo,
  digestFromHex,
  pieceCount,
  pieceCountOf,
  type MetaInfo,
} from '../content/index.js';
import type { Random } from '../random/index.js';
import type { Want } from './client.js';
import type { SimNode } from './node.js';
import type { SimOptions } from './options.js';

/** One blob and the origins that hold it. */
export interface Placed {
  readonly metainfo: MetaInfo;
  readonly holders: readonly SimNode[];
}

/** Draw the blobs and put each on its origins' disks. */
export function placeBlobs(random: Random, options: SimOptions, origins: readonly SimNode[]): Placed[] {
  const { blobs, blobBytes, blobBytesMax, pieceBytes, replicas } = options;
  return Array.from({ length: blobs }, () => {
    const digest = digestFromHex(randomHex(random, 64));
    const length = blobBytes + Math.floor(random.unit() * (blobBytesMax - blobBytes + 1));
    const pieceSums = Array.from({ length: pieceCountOf(length, pieceBytes) }, () => random.uint32());
    const root = options.roots && canHaveRoot(length, pieceBytes) ? { piecesRoot: randomHex(random, 64) } : {};
    const metainfo = createMetaInfo({ digest, length, pieceLength: pieceBytes, pieceSums, ...root });
    const holders = random.shuffle([...origins]).slice(0, replicas);
    if (options.blobsIn === 'origins') for (const holder of holders) holder.disk.seed(metainfo);
    return { metainfo, holders };
  });
}

/** Draw who pulls what and when. Late agents ask at Infinity until {@link LateJoiners} lets them. */
export function drawWants(random: Random, options: SimOptions, blobs: readonly MetaInfo[]): Want[] {
  const { agents, startWithinMs, lateShare, blobsPerAgent, prefetchMs, pullsApart } = options;
  const early = agents - Math.floor(agents * lateShare);
  const drawBlobs = blobDraw(random, options, blobs);
  const wants: Want[] = [];
  for (let node = 0; node < agents; node++) {
    const startsAt = prefetchMs + random.unit() * startWithinMs;
    const wanted = blobsPerAgent < blobs.length ? drawBlobs() : blobs;
    for (const metainfo of wanted) {
      const askedAt = pullsApart ? prefetchMs + random.unit() * startWithinMs : startsAt;
      wants.push({
        node,
        metainfo,
        askedAt: node < early ? askedAt : Infinity,
        openedAt: undefined,
        firstByteAt: undefined,
        piecesAt: undefined,
        finishedAt: undefined,
        failures: [],
      });
    }
  }
  return wants;
}

/** The blobs of one agent, each at most once. */
function blobDraw(random: Random, options: SimOptions, blobs: readonly MetaInfo[]): () => readonly MetaInfo[] {
  const { blobsPerAgent, popularity } = options;
  if (popularity === 'uniform') return () => random.shuffle([...blobs]).slice(0, blobsPerAgent);
  // Sums of 1 / rank: where a drawn number falls is the rank that it chooses.
  const sums: number[] = [];
  for (let rank = 1, sum = 0; rank <= blobs.length; rank++) sums.push((sum += 1 / rank));
  const total = sums[sums.length - 1] ?? 0;
  return () => {
    const drawn = new Set<MetaInfo>();
    while (drawn.size < blobsPerAgent) drawn.add(blobs[lowestAbove(sums, random.unit() * total)] as MetaInfo);
    return [...drawn];
  };
}

/** Index of the first of `ascending` that is above `value`, which is below the last. */
function lowestAbove(ascending: readonly number[], value: number): number {
  let low = 0;
  let high = ascending.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] as number) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Agents that come when the others have a share of their pieces. */
export class LateJoiners {
  readonly #late: readonly Want[];
  #missing: number;

  constructor(options: SimOptions, wants: readonly Want[]) {
    this.#late = wants.filter((want) => want.askedAt === Infinity);
    const early = wants.filter((want) => want.askedAt !== Infinity);
    const pieces = early.reduce((sum, want) => sum + pieceCount(want.metainfo), 0);
    this.#missing = this.#late.length === 0 ? Infinity : Math.ceil(pieces * options.lateWhenDone);
  }

  /** An agent stored a piece. @returns those who ask now, once */
  pieceStored(): readonly Want[] {
    return --this.#missing === 0 ? this.#late : [];
  }
}

/** `digits` hex characters. */
export function randomHex(random: Random, digits: number): string {
  let hex = '';
  while (hex.length < digits) hex += random.uint32().toString(16).padStart(8, '0');
  return hex.slice(0, digits);
}
