/**
 * The network between shards: what one end of a connection does reaches the other end as a record, one latency later.
 * Owns the numbers by which shards name each other's ends.
 */
import { Bitfield, type MetaInfo, type PeerId } from '../../content/index.js';
import type { Millis } from '../../machine/index.js';
import type { Handshake, PeerMessage } from '../../wire/index.js';
import { Endpoint, hasLayer, PieceTransfer } from '../endpoint.js';
import type { SimHost } from '../host.js';
import type { FarArrivals, FarReceiver } from '../links/index.js';
import type { SimNode } from '../node.js';
import { swarmSettings, type SimOptions } from '../options.js';
import { FarFlow, type FarEnd } from './far-end.js';
import { MAIL } from './mail.js';
import { messageCells, messageFrom, writeMessage } from './message-cells.js';
import type { MailContext, ReadRecord } from './post-office.js';

/** What arrives at ends that are here; the network's part of it. */
export interface NearNetwork {
  handshakeArrived(end: Endpoint, handshake: Handshake, fromIp: string): void;
  accepted(end: Endpoint, handshake: Handshake): void;
  hungUp(end: Endpoint, reason: 'remote-closed' | 'remote-reset'): void;
  deliver(end: Endpoint, message: PeerMessage): void;
}

export interface FarNetworkOptions extends MailContext {
  readonly options: SimOptions;
  readonly arrivals: FarArrivals;
  /** Which shard runs a node. */
  readonly shardOf: (node: number) => number;
}

export class FarNetwork {
  readonly #options: FarNetworkOptions;
  /** Ends that are here, by the number under which other shards know them. */
  readonly #ends: (Endpoint | undefined)[] = [];
  /** By shard and its number: the end here that was made for the dial of that end. */
  readonly #dialled: readonly (number | undefined)[][];
  readonly #nodes = new Map<PeerId, SimNode>();
  readonly #byIp = new Map<string, SimNode>();
  readonly #blobs = new Map<string, number>();
  /** Receivers of one broadcast, by shard. */
  readonly #receivers: readonly number[][];
  #near!: NearNetwork;

  constructor(options: FarNetworkOptions) {
    this.#options = options;
    const { post } = options;
    this.#dialled = Array.from({ length: post.shards }, () => []);
    this.#receivers = Array.from({ length: post.shards }, () => []);
    for (const node of options.nodes) {
      this.#nodes.set(node.peerId, node);
      this.#byIp.set(node.ip, node);
    }
    options.blobs.forEach(({ digest }, blob) => this.#blobs.set(digest, blob));
    post.reads(MAIL.handshake, this.#handshakeRead);
    post.reads(MAIL.accepted, this.#acceptedRead);
    post.reads(MAIL.hungUp, this.#hungUpRead);
    post.reads(MAIL.message, this.#messageRead);
    post.reads(MAIL.head, this.#headRead);
    post.reads(MAIL.tail, this.#tailRead);
    post.reads(MAIL.cut, this.#cutRead);
    post.reads(MAIL.layerAsked, this.#layerAskedRead);
  }

  connect(near: NearNetwork): void {
    this.#near = near;
  }

  /** The node at an address, when another shard runs it. */
  nodeAt(ip: string): SimNode | undefined {
    const node = this.#byIp.get(ip);
    return node === undefined || this.#options.shardOf(node.number) === this.#options.post.shard ? undefined : node;
  }

  /** The connection is there: the handshake goes on its way. */
  dialled(end: Endpoint, node: SimNode, handshake: Handshake): void {
    const far = this.#name(end, this.#options.shardOf(node.number), node.number, -1);
    this.#writeHandshake(MAIL.handshake, far, node.number, handshake, end.host.node);
  }

  /** Effect `accept`. */
  accepted(end: Endpoint, far: FarEnd, handshake: Handshake): void {
    end.out = this.#flow(end, far);
    this.#writeHandshake(MAIL.accepted, far, far.theirs, handshake, end.host.node);
  }

  hangUp(far: FarEnd, reason: 'remote-closed' | 'remote-reset'): void {
    const box = this.#options.post.to(far.shard);
    const start = box.record(MAIL.hungUp, this.#arrival, 3);
    box.cells[start] = far.theirs;
    box.cells[start + 1] = far.ours;
    box.cells[start + 2] = reason === 'remote-reset' ? 1 : 0;
  }

  /** Effect `send`. */
  send(far: FarEnd, message: PeerMessage): void {
    this.#receivers[far.shard]?.push(far.theirs);
    this.#writeMessages(far.shard, message);
  }

  /** One more receiver of the message that {@link broadcast} will name. */
  addReceiver(far: FarEnd): void {
    this.#receivers[far.shard]?.push(far.theirs);
  }

  /** Effect `broadcast`. */
  broadcast(message: PeerMessage): void {
    for (let shard = 0; shard < this.#receivers.length; shard++)
      if ((this.#receivers[shard] as number[]).length > 0) this.#writeMessages(shard, message);
  }

  /** Does the peer have the layer of the connection's blob? Two latencies later `answered` hears it. */
  askLayer(end: Endpoint, far: FarEnd, answered: (has: boolean) => void): void {
    const { post } = this.#options;
    const box = post.to(far.shard);
    const start = box.record(MAIL.layerAsked, this.#arrival, 2);
    box.cells[start] = far.theirs;
    box.cells[start + 1] = post.question(([has]) => answered(has === 1 && end.state !== 'closed'));
  }

  /** The connection is over at this end. */
  forget({ shard, ours, theirs }: FarEnd): void {
    this.#ends[ours] = undefined;
    const dialled = this.#dialled[shard];
    if (dialled?.[theirs] === ours) dialled[theirs] = undefined;
  }

  get #arrival(): Millis {
    return this.#options.clock.now + this.#options.latencyMs;
  }

  #name(end: Endpoint, shard: number, node: number, theirs: number): FarEnd {
    const far: FarEnd = { shard, node, theirs, ours: this.#ends.length };
    this.#ends.push(end);
    end.far = far;
    return far;
  }

  #flow(end: Endpoint, far: FarEnd): FarFlow {
    const { post } = this.#options;
    const at = (): Millis => this.#arrival;
    const receiver: FarReceiver<PieceTransfer> = {
      head(transfer) {
        const box = post.to(far.shard);
        const start = box.record(MAIL.head, at(), 3);
        box.cells[start] = far.theirs;
        box.cells[start + 1] = transfer.piece;
        box.cells[start + 2] = transfer.length;
      },
      tail() {
        const box = post.to(far.shard);
        box.cells[box.record(MAIL.tail, at(), 1)] = far.theirs;
      },
      cut(unsentBytes) {
        const box = post.to(far.shard);
        const start = box.record(MAIL.cut, at(), 2);
        box.cells[start] = far.theirs;
        box.cells[start + 1] = unsentBytes;
      },
    };
    return new FarFlow(end, receiver);
  }

  // Records: written here, read below.

  #writeHandshake(kind: number, far: FarEnd, to: number, handshake: Handshake, from: number): void {
    const { neighbours, bitfield } = handshake;
    const box = this.#options.post.to(far.shard);
    const start = box.record(kind, this.#arrival, 6 + neighbours.length + bitfield.words.length);
    const { cells } = box;
    cells[start] = to;
    cells[start + 1] = far.ours;
    cells[start + 2] = from;
    cells[start + 3] = this.#blobs.get(handshake.digest) as number;
    cells[start + 4] = handshake.namespace === '' ? 0 : 1;
    cells[start + 5] = neighbours.length;
    let cell = start + 6;
    for (const neighbour of neighbours) cells[cell++] = (this.#nodes.get(neighbour) as SimNode).number;
    cells.set(bitfield.words, cell);
  }

  #handshakeFrom(cells: Float64Array, start: number, end: number): Handshake {
    const { nodes, blobs, options } = this.#options;
    const node = nodes[cells[start + 2] as number] as SimNode;
    const { digest, infoHash, pieceSums } = blobs[cells[start + 3] as number] as MetaInfo;
    const bits = start + 6 + (cells[start + 5] as number);
    return {
      peerId: node.peerId,
      digest,
      infoHash,
      namespace: cells[start + 4] === 0 ? '' : 'sim',
      bitfield: Bitfield.fromWords(pieceSums.length, Uint32Array.from(cells.subarray(bits, end))),
      neighbours: Array.from(cells.subarray(start + 6, bits), (number) => (nodes[number] as SimNode).peerId),
      version: swarmSettings(options, node.role).protocolVersion,
    };
  }

  readonly #handshakeRead: ReadRecord = (from, at, cells, start, end) => {
    const { nodes, clock } = this.#options;
    const host = nodes[cells[start] as number]?.host as SimHost;
    const handshake = this.#handshakeFrom(cells, start, end);
    const dialler = nodes[cells[start + 2] as number] as SimNode;
    const theirs = cells[start + 1] as number;
    clock.inOrder(from, at, () => {
      const accepted = new Endpoint(host, host.nextAcceptedConn(), handshake.digest, 'handshaking');
      (this.#dialled[from] as (number | undefined)[])[theirs] = this.#ends.length;
      this.#name(accepted, from, dialler.number, theirs);
      this.#near.handshakeArrived(accepted, handshake, dialler.ip);
    });
  };

  readonly #acceptedRead: ReadRecord = (from, at, cells, start, end) => {
    const handshake = this.#handshakeFrom(cells, start, end);
    const ours = cells[start] as number;
    const theirs = cells[start + 1] as number;
    this.#options.clock.inOrder(from, at, () => {
      const dialler = this.#ends[ours];
      if (dialler?.far === undefined || dialler.state !== 'handshaking') return;
      dialler.far.theirs = theirs;
      dialler.out = this.#flow(dialler, dialler.far);
      this.#near.accepted(dialler, handshake);
    });
  };

  readonly #hungUpRead: ReadRecord = (from, at, cells, start) => {
    const ours = cells[start] as number;
    const theirs = cells[start + 1] as number;
    const reason = cells[start + 2] === 1 ? 'remote-reset' : 'remote-closed';
    this.#options.clock.inOrder(from, at, () => {
      // A dialler that gives up before it was answered knows no number of the other end.
      const end = this.#ends[ours >= 0 ? ours : ((this.#dialled[from] as (number | undefined)[])[theirs] ?? -1)];
      if (end !== undefined) this.#near.hungUp(end, reason);
    });
  };

  #writeMessages(shard: number, message: PeerMessage): void {
    const receivers = this.#receivers[shard] as number[];
    const box = this.#options.post.to(shard);
    const start = box.record(MAIL.message, this.#arrival, messageCells(message) + receivers.length + 1);
    const { cells } = box;
    cells[start] = receivers.length;
    for (let i = 0; i < receivers.length; i++) cells[start + 1 + i] = receivers[i] as number;
    writeMessage(cells, start + 1 + receivers.length, message);
    receivers.length = 0;
  }

  readonly #messageRead: ReadRecord = (from, at, cells, start, end) => {
    const count = cells[start] as number;
    const message = messageFrom(cells, start + 1 + count, end);
    const { clock } = this.#options;
    const first = this.#ends[cells[start + 1] as number];
    if (count === 1) {
      if (first !== undefined) clock.inOrder(from, at, this.#deliver, first, message);
      return;
    }
    const receivers: Endpoint[] = [];
    for (let i = 1; i <= count; i++) {
      const receiver = this.#ends[cells[start + i] as number];
      if (receiver !== undefined) receivers.push(receiver);
    }
    clock.inOrder(from, at, this.#deliverAll, receivers, message);
  };

  readonly #deliver = (receiver: Endpoint, message: PeerMessage): void => this.#near.deliver(receiver, message);

  readonly #deliverAll = (receivers: readonly Endpoint[], message: PeerMessage): void => {
    for (const receiver of receivers) this.#near.deliver(receiver, message);
  };

  readonly #headRead: ReadRecord = (from, at, cells, start) => {
    const end = this.#ends[cells[start] as number];
    if (end === undefined) return;
    const transfer = new PieceTransfer(end.digest, cells[start + 1] as number, cells[start + 2] as number, 'good');
    this.#options.clock.inOrder(from, at, this.#headArrived, end, transfer);
  };

  readonly #headArrived = ({ out }: Endpoint, transfer: PieceTransfer): void => {
    if (!(out instanceof FarFlow)) return;
    out.arriving = transfer;
    this.#options.arrivals.headArrived(out, transfer);
  };

  readonly #tailRead: ReadRecord = (from, at, cells, start) => {
    const end = this.#ends[cells[start] as number];
    if (end !== undefined) this.#options.clock.inOrder(from, at, this.#tailArrived, end);
  };

  readonly #tailArrived = ({ out }: Endpoint): void => {
    if (!(out instanceof FarFlow) || out.arriving === undefined) return;
    const { arriving } = out;
    out.arriving = undefined;
    this.#options.arrivals.tailArrived(out, arriving);
  };

  readonly #cutRead: ReadRecord = (from, at, cells, start) => {
    const end = this.#ends[cells[start] as number];
    if (end !== undefined) this.#options.clock.inOrder(from, at, this.#cutArrived, end, cells[start + 1] as number);
  };

  readonly #cutArrived = ({ out }: Endpoint, unsentBytes: number): void => {
    if (!(out instanceof FarFlow) || out.arriving === undefined) return;
    const { arriving } = out;
    out.arriving = undefined;
    this.#options.arrivals.cutArrived(out, arriving, unsentBytes);
  };

  readonly #layerAskedRead: ReadRecord = (from, at, cells, start) => {
    const end = this.#ends[cells[start] as number];
    const question = cells[start + 1] as number;
    this.#options.clock.inOrder(from, at, () => {
      this.#options.post.answer(from, this.#arrival, question, [hasLayer(end) ? 1 : 0]);
    });
  };
}
