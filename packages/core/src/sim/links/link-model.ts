/**
 * What a link model is: it decides when the bytes of payloads leave one host and reach another. Control
 * messages never pass through it; they cost latency alone. A model is one file beside this one.
 */
import type { Random } from '../../random/index.js';
import type { VirtualClock } from '../clock.js';
import type { Transfer, TransferQueue } from './transfer.js';

/** The network card of one host. Rates in bytes per millisecond; `Infinity` is no cap. */
export interface Nic {
  /** Number of the host, dense from 0: models keep their own state in arrays by it. */
  readonly host: number;
  upRate: number;
  downRate: number;
}

/**
 * One direction of one connection: payloads in order. The model calls `headArrived`, `sent`, `received` once
 * each per payload, `received` last. After {@link LinkModel.abort} nothing is `sent` any more; what had been
 * sent before still arrives.
 */
export interface Flow<T extends Transfer = Transfer> {
  readonly from: Nic;
  readonly to: Nic;
  /** One way, in milliseconds. */
  readonly latencyMs: number;
  /** Payloads that have not been sent. */
  readonly queue: TransferQueue<T>;
  /** Scratch of the model; -1 when it has nothing to do with the flow. Only `max-min` uses it. */
  modelSlot: number;
  /** The first bytes, and with them the header, reached the receiver. */
  headArrived(transfer: T): void;
  /** The last byte left the sender; the model has taken the transfer off `queue`. */
  sent(transfer: T): void;
  /** The last byte has been read at the receiver. */
  received(transfer: T): void;
  /** True once the receiver is gone: what is still on the way then arrives nowhere. */
  readonly closed: boolean;
  /** Set when the receiver's card is on another shard: it hears from here what happens, one latency later. */
  readonly far?: FarReceiver<T>;
}

/** A receiver on another shard. Each call reaches it after one latency. */
export interface FarReceiver<T extends Transfer = Transfer> {
  /** The first byte leaves. */
  head(transfer: T): void;
  /** The last byte leaves. */
  tail(): void;
  /** The payload that was leaving is cut off, so many bytes before its end. */
  cut(unsentBytes: number): void;
}

/** The receiver's half of a link model, for payloads that leave on another shard. */
export interface FarArrivals {
  /** The first byte is here. */
  headArrived(flow: Flow, transfer: Transfer): void;
  /** The last byte is here. */
  tailArrived(flow: Flow, transfer: Transfer): void;
  /** What has not come does not come. */
  cutArrived(flow: Flow, transfer: Transfer, unsentBytes: number): void;
}

/** How transfers share network cards. */
export interface LinkModel {
  readonly name: string;
  /** `flow.queue` has grown. */
  wake(flow: Flow): void;
  /**
   * Nothing more is sent: the first transfer is cut off, the others never begin, also while they stay in `flow.queue`. The flow is
   * not woken again.
   */
  abort(flow: Flow): void;
  /** The receiver, whose {@link Flow.closed} holds from now on, does not read any more. */
  deafened(flow: Flow): void;
  /** The rates of a card changed. */
  rateChanged(nic: Nic): void;
  /** Present in models whose cards need to know nothing of each other: a run can then be divided into shards. */
  readonly arrivals?: FarArrivals;
}

/** What a model is made from. */
export interface LinkModelContext {
  readonly clock: VirtualClock;
  readonly random: Random;
  /** Milliseconds of full rate that a card which was idle for so long may exceed its rate by (token-bucket). */
  readonly burstMs: number;
  /** Bytes per millisecond of the wire under a card with savings; absent: no bound. */
  readonly wireRate?: number;
  /** Virtual milliseconds between two computations of fair rates; at most 5 (max-min). */
  readonly rateIntervalMs: number;
}
