/**
 * What a link model is: it decides when the bytes of payloads leave one host and reach another. Control
 * messages never pass through it; they cost latency alone. A model is one file beside this one.
 */
import type { Random } from '../../random/index.js';
import type { VirtualClock } from '../clock.js';

/** The network card of one host. Rates in bytes per millisecond; `Infinity` is no cap. */
export interface Nic {
  /** Number of the host, dense from 0: models keep their own state in arrays by it. */
  readonly host: number;
  upRate: number;
  downRate: number;
}

/** A payload under way. The model owns the counters while it moves. */
export interface Transfer {
  readonly length: number;
  /** Bytes that have left the sender. */
  sent: number;
}

/**
 * One direction of one connection: payloads in order, of which only the first moves. The model calls
 * `started`, `sent`, `received` once each per payload and in that order, never after {@link LinkModel.abort}.
 */
export interface Flow<T extends Transfer = Transfer> {
  readonly from: Nic;
  readonly to: Nic;
  /** One way, in milliseconds. */
  latencyMs: number;
  readonly queue: T[];
  /** Slot for the model: where it keeps this flow; -1 when it has nothing to do with it. */
  modelSlot: number;
  /** Model slot: bytes per millisecond at present. */
  modelRate: number;
  /** The first bytes, and with them the header, reached the receiver. */
  headArrived(transfer: T): void;
  /** The last byte left the sender; the model has taken the transfer off `queue`. */
  sent(transfer: T): void;
  /** The last byte has been read at the receiver. */
  received(transfer: T): void;
  /** True once the connection is gone: what is still on the way then arrives nowhere. */
  readonly closed: boolean;
}

export interface LinkModel {
  readonly name: string;
  /** `flow.queue` was empty and has its first transfer now. */
  wake(flow: Flow): void;
  /** The connection is gone, and the host has emptied `flow.queue`. */
  abort(flow: Flow): void;
  /** The rates of a card changed. */
  rateChanged(nic: Nic): void;
}

/** What a model is made from. */
export interface LinkModelContext {
  readonly clock: VirtualClock;
  readonly random: Random;
  /** Bytes that a sender gives to one connection before the next has its turn. */
  readonly chunkBytes: number;
  /** Virtual milliseconds between two computations of fair rates; at most 5. */
  readonly rateIntervalMs: number;
}
