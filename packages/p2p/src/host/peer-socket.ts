/**
 * One connection to a peer: frames in and out, payloads between socket and disk. Source: spec p2p.md §2.
 * Owns the TCP socket and the order of bytes on the wire. Never decides anything about torrents: it reports
 * what came and does what it is told.
 *
 * Input is only processed from socket callbacks, timers and completions, never from inside a machine step, so
 * that the answer to a payload header is always there when the call returns.
 */
import type { Socket } from 'node:net';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import type { CloseReason, Failure } from '@kraken/core/swarm';
import {
  decodeHandshake,
  decodeMessage,
  FrameDecoder,
  type Handshake,
  type LayerMessage,
  type PayloadHeader,
  type PeerMessage,
} from '@kraken/core/wire';
import type { BufferPools } from './buffer-pool.js';
import type { Clock } from './clock.js';
import type { HostCounters } from './counters.js';
import type { Lingering } from './lingering.js';
import { PayloadReceiver, type ReceiveJob } from './payload-receiver.js';
import { PayloadSender, type SendJob } from './payload-sender.js';
import type { TokenBucket } from './token-bucket.js';
import type { PeerTls } from './peer-tls.js';
import type { ReadSink } from './transport.js';

/** What a connection reports. Exactly one `closed` ends it, after all its jobs have been completed. */
export interface PeerSocketEvents {
  /** The first frame. Reading has stopped; {@link PeerSocket.open} starts it again. */
  handshake(handshake: Handshake): void;
  message(message: PeerMessage): void;
  /** Parts of piece layers. The hashes are only valid during the call. */
  layer(message: LayerMessage): void;
  /** Must call `receive`, `discard` or `close` before it returns. */
  payload(header: PayloadHeader): void;
  closed(reason: CloseReason, failure: Failure): void;
}

/** What all connections of a node share. */
export interface PeerSocketShared {
  readonly pools: BufferPools;
  readonly ingress: TokenBucket;
  readonly egress: TokenBucket;
  readonly counters: HostCounters;
  /** Where sockets end that are closed in good order. */
  readonly lingering: Lingering;
  readonly clock: Clock;
  /** Bytes that one connection may take in before others get a turn; Infinity = no budget. */
  readonly turnBudgetBytes: number;
  /** Absent: plain TCP. */
  readonly tls?: PeerTls;
}

/** Closes that are no fault of the peer's: what we sent before must arrive. */
const GOOD_ORDER: ReadonlySet<CloseReason> = new Set([
  'rotated',
  'both-complete',
  'idle',
  'too-old',
  'torrent-removed',
]);

/** Read buffer of everything but payloads; shared by all sockets, since it is emptied before a callback returns. */
const scratch = Buffer.allocUnsafeSlow(16 * 1024);

/** Control frames that wait for a peer that does not read. Guess: 256 KiB, tens of thousands of frames. */
const CONTROL_BACKLOG_MAX_BYTES = 256 * 1024;

/** Reasons why reading is stopped, as bits. */
const BLOCK = { handshake: 1, payload: 2, turn: 4 } as const;

export class PeerSocket implements ReadSink {
  /** Of the other side, without an IPv4-mapped prefix; empty until connected. */
  remoteIp = '';
  readonly #events: PeerSocketEvents;
  readonly #shared: PeerSocketShared;
  readonly #decoder = new FrameDecoder();
  readonly #receiver: PayloadReceiver;
  readonly #sender: PayloadSender;
  #socket: Socket | undefined;
  #shookHands = false;
  #blocks = 0;
  /** Bytes that were read but not processed when reading was blocked. */
  #stash: Uint8Array | undefined;
  #intoChunk = false;
  #turnBytes = 0;
  /** Frames that wait for the end of the payload on the wire. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  /** Payload headers that were answered. */
  #answers = 0;
  #cancelDeadline: (() => void) | undefined;
  #closing: { readonly reason: CloseReason; readonly failure: Failure } | undefined;
  #reported = false;

  constructor(shared: PeerSocketShared, events: PeerSocketEvents) {
    this.#shared = shared;
    this.#events = events;
    this.#receiver = new PayloadReceiver(shared.pools.receive, shared.ingress, {
      block: () => this.#block(BLOCK.payload),
      unblock: () => this.#unblock(BLOCK.payload),
      settled: () => this.#report(),
    });
    this.#sender = new PayloadSender(shared.pools.send, shared.egress, {
      write: (bytes, done) => {
        if (done !== undefined) shared.counters.payloadBytesOut += bytes.length;
        this.#socket?.write(bytes, done);
      },
      free: () => this.#flushHeld(),
      broken: (failure) => this.#end('io-error', failure),
      finished: () => this.#report(),
    });
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Use `socket`, which feeds this object as its sink. */
  attach(socket: Socket): void {
    this.#socket = socket;
    this.noteRemote();
    if (this.closed) socket.destroy();
    socket.on('error', (error) => this.#failed(error));
    socket.on('end', () =>
      this.#end('remote-closed', { code: 'network-error', says: 'the peer closed the connection' }),
    );
    // Also without an error or an end, for instance when the socket is destroyed by Node itself.
    socket.on('close', () => this.#end('remote-closed', { code: 'network-error', says: 'the connection is gone' }));
    if (this.#blocks !== 0) socket.pause();
  }

  /** The handshake must be complete within `timeoutMs` from now. Replaces an earlier deadline. */
  expectHandshake(timeoutMs: number): void {
    this.#cancelDeadline?.();
    if (this.closed || this.#shookHands) return;
    this.#cancelDeadline = this.#shared.clock.after(timeoutMs, () =>
      this.#end('handshake-timeout', { code: 'handshake-timeout', says: `no handshake within ${timeoutMs} ms` }),
    );
  }

  /** Remember the peer's address while it can be asked for. */
  noteRemote(): void {
    const address = this.#socket?.remoteAddress;
    if (address !== undefined) this.remoteIp = address.startsWith('::ffff:') ? address.slice(7) : address;
  }

  /** Go on reading after the handshake. What came with it is processed soon, never during this call. */
  open(): void {
    setImmediate(() => this.#unblock(BLOCK.handshake));
  }

  /** A whole control frame. It waits while a payload is unfinished on the wire, and overtakes payloads that have not begun. */
  send(frame: Uint8Array): void {
    const socket = this.#socket;
    if (socket === undefined || this.closed) return;
    if (this.#sender.onWire) {
      this.#held.push(frame);
      this.#heldBytes += frame.length;
      this.#checkBacklog(this.#heldBytes);
    } else {
      this.#checkBacklog(socket.writableLength - this.#sender.bytesQueued + frame.length);
      socket.write(frame);
    }
  }

  sendPiece(job: SendJob): void {
    this.#sender.enqueue(job);
  }

  /** Permission for the payload whose header is being reported. */
  receive(job: ReceiveJob): void {
    this.#answers++;
    this.#receiver.begin(job);
  }

  /** Drop the payload whose header is being reported. */
  discard(length: number): void {
    this.#answers++;
    this.#receiver.discard(length);
  }

  /** End the connection at once. Safe to call twice. */
  close(reason: CloseReason, failure: Failure = { code: 'network-error', says: `closed: ${reason}` }): void {
    this.#end(reason, failure);
  }

  // ReadSink

  buffer(): Uint8Array {
    const window = this.closed ? undefined : this.#receiver.window();
    this.#intoChunk = window !== undefined;
    return window ?? scratch;
  }

  filled(length: number): void {
    if (this.closed) return;
    if (this.#intoChunk) {
      this.#shared.counters.payloadBytesIn += length;
      this.#receiver.advance(length);
    } else {
      this.#consume(scratch.subarray(0, length));
    }
    this.#spend(length);
  }

  data(chunk: Uint8Array): void {
    if (this.closed) return;
    this.#consume(chunk);
    this.#spend(chunk.length);
  }

  /** Process bytes until they are used up or reading is blocked. */
  #consume(data: Uint8Array): void {
    let at = 0;
    while (at < data.length && !this.closed) {
      if ((this.#blocks & (BLOCK.handshake | BLOCK.payload)) !== 0) {
        // A copy: the scratch buffer is everybody's, and `slice` of a Buffer would be a view.
        this.#stash = new Uint8Array(data.subarray(at));
        return;
      }
      if (this.#receiver.expecting) {
        const taken = this.#receiver.take(data, at);
        this.#shared.counters.payloadBytesIn += taken;
        at += taken;
        continue;
      }
      const step = this.#decoded(() => this.#decoder.next(data, at));
      if (step === undefined) return;
      at += step.consumed;
      if (step.body !== undefined) this.#frame(step.body);
    }
  }

  #frame(body: Uint8Array): void {
    this.#shared.counters.framesIn++;
    if (!this.#shookHands) {
      const handshake = this.#decoded(() => decodeHandshake(body));
      if (handshake === undefined) return;
      this.#shookHands = true;
      this.#cancelDeadline?.();
      this.#block(BLOCK.handshake);
      this.#events.handshake(handshake);
      return;
    }
    const message = this.#decoded(() => decodeMessage(body));
    if (message === undefined) return;
    if (message.type === 'layer-request' || message.type === 'layer-hashes') {
      this.#events.layer(message);
      return;
    }
    if (message.type !== 'piece-payload') {
      this.#events.message(message);
      return;
    }
    const answers = this.#answers;
    this.#events.payload(message);
    if (this.#answers === answers && !this.closed)
      throw new KrakenError('internal', 'a payload header was not answered');
  }

  /** What `decode` returns; on a fault of the peer's the connection ends and the answer is `undefined`. */
  #decoded<T>(decode: () => T): T | undefined {
    try {
      return decode();
    } catch (error) {
      if (!isKrakenError(error) || error.entry.kind !== 'peer-fault') throw error;
      this.#shared.counters.malformedFrames++;
      this.#end('protocol-error', { code: error.code, says: error.message });
      return undefined;
    }
  }

  /** After a budget's worth of bytes the others get a turn of the event loop. */
  #spend(length: number): void {
    this.#turnBytes += length;
    if (this.#turnBytes < this.#shared.turnBudgetBytes) return;
    this.#turnBytes = 0;
    if (this.closed || (this.#blocks & BLOCK.turn) !== 0) return;
    this.#block(BLOCK.turn);
    setImmediate(() => this.#unblock(BLOCK.turn));
  }

  #block(reason: number): void {
    if (this.#blocks === 0) this.#socket?.pause();
    this.#blocks |= reason;
  }

  #unblock(reason: number): void {
    this.#blocks &= ~reason;
    if (this.closed) return;
    if ((this.#blocks & (BLOCK.handshake | BLOCK.payload)) === 0 && this.#stash !== undefined) {
      const stash = this.#stash;
      this.#stash = undefined;
      this.#consume(stash);
    }
    if (this.#blocks === 0 && this.#closing === undefined) this.#socket?.resume();
  }

  #flushHeld(): void {
    if (this.#held.length === 0) return;
    const frames = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const frame of frames) this.#socket?.write(frame);
  }

  #checkBacklog(bytes: number): void {
    if (bytes <= CONTROL_BACKLOG_MAX_BYTES) return;
    this.#end('protocol-error', { code: 'queue-full', says: 'the peer does not read its control frames' });
  }

  #failed(error: Error): void {
    this.#end('remote-reset', { code: 'network-error', says: error.message });
  }

  #end(reason: CloseReason, failure: Failure): void {
    if (this.#closing !== undefined) return;
    this.#closing = { reason, failure };
    this.#cancelDeadline?.();
    this.#stash = undefined;
    this.#held = [];
    const socket = this.#socket;
    if (socket !== undefined && GOOD_ORDER.has(reason) && this.#sender.idle) this.#shared.lingering.add(socket);
    else socket?.destroy();
    this.#receiver.abort();
    this.#sender.abort(failure);
    this.#report();
  }

  /** The end is reported once everything that was begun has been completed. */
  #report(): void {
    if (this.#closing === undefined || this.#reported || !this.#receiver.idle || !this.#sender.idle) return;
    this.#reported = true;
    this.#events.closed(this.#closing.reason, this.#closing.failure);
  }
}
