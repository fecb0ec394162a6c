/**
 * Link model `token-bucket`: cards that carry one payload after the other, as the shipping limiter does with
 * payloads that have started before those that have not, oldest first.
 *
 * Modelled: a sender's card sends whole payloads in the order in which they were queued, over all its
 * connections, each at the full rate. A receiver's card reads payloads in the order in which their first bytes
 * arrived, at its own full rate, while they come in (cut-through); a payload is there when it has been read
 * and its last byte has arrived. A payload that is cut off leaves its time on both cards to the next. With
 * `burstMs`, a card that was idle may be ahead of its rate by so much, as a bucket that has filled: a host
 * that has been busy has no such savings, hence 0 unless a run is compared with processes that just started.
 *
 * Not modelled: turns of chunks, packets, windows and losses; weights of namespaces; anything narrow between
 * the cards. A sender does not slow down for a receiver: what is in flight is taken to fit into the receiver's
 * socket buffers, and the requests in flight bound it. A slow sender's payload does not hold up those behind it
 * at the receiver, except for the time that its own bytes take. Control messages never wait.
 */
import type { Millis } from '../../machine/index.js';
import type { FarArrivals, Flow, LinkModel, LinkModelContext, Nic, Transfer } from './link-model.js';

/** Both directions of one card. */
class Card {
  /** The payload that leaves, and its connection. */
  flow: Flow | undefined;
  sending: Transfer | undefined;
  /** When it will have left; the bucket's debt and savings are the distance from now. */
  sentUntil: Millis;
  /** When the wire will have carried it: savings do not make a wire faster. */
  wireUntil: Millis = 0;
  /** Distinguishes a timed end from one that was overtaken. */
  version = 0;
  /** Connections of the payloads that wait to leave, in order; a ring. */
  waiting: (Flow | undefined)[] = new Array<Flow | undefined>(8).fill(undefined);
  head = 0;
  size = 0;
  /** When everything that has begun to arrive will have been read. */
  readUntil: Millis;
  /** Payloads that are being read, and their connections. In no order. */
  readonly reading: Transfer[] = [];
  readonly readingFlows: Flow[] = [];
  /** The rates that the times above were computed with. */
  upRate: number;
  downRate: number;

  constructor(nic: Nic, full: Millis) {
    this.sentUntil = full;
    this.readUntil = full;
    this.upRate = nic.upRate;
    this.downRate = nic.downRate;
  }

  push(flow: Flow): void {
    const { waiting, head, size } = this;
    const { length } = waiting;
    if (size === length) {
      this.waiting = Array.from({ length: length * 2 }, (_, i) =>
        i < length ? waiting[(head + i) % length] : undefined,
      );
      this.head = 0;
    }
    this.waiting[(this.head + size) & (this.waiting.length - 1)] = flow;
    this.size++;
  }

  shift(): Flow | undefined {
    const { waiting, head } = this;
    const flow = waiting[head];
    waiting[head] = undefined;
    this.head = (head + 1) & (waiting.length - 1);
    this.size--;
    return flow;
  }

  forget(index: number): void {
    const transfer = this.reading.pop();
    const flow = this.readingFlows.pop();
    if (index === this.reading.length || transfer === undefined || flow === undefined) return;
    this.reading[index] = transfer;
    this.readingFlows[index] = flow;
  }
}

/** `Transfer.readUntil` of one that has been received. */
const RECEIVED = Infinity;

export class TokenBucketLinks implements LinkModel {
  readonly name = 'token-bucket';
  readonly #context: LinkModelContext;
  readonly #cards: (Card | undefined)[] = [];

  constructor(context: LinkModelContext) {
    this.#context = context;
  }

  readonly arrivals: FarArrivals = {
    headArrived: (flow, transfer) => this.#headArrived(flow, transfer),
    tailArrived: (flow, transfer) => {
      transfer.arrivesAt = this.#context.clock.now;
      this.#received(flow, transfer);
    },
    cutArrived: (flow, transfer, unsentBytes) => {
      transfer.cut = true;
      this.#cutOff(flow, transfer, unsentBytes);
    },
  };

  wake(flow: Flow): void {
    const card = this.#card(flow.from);
    let admitted = Math.max(0, flow.modelSlot);
    for (; admitted < flow.queue.length; admitted++) card.push(flow);
    flow.modelSlot = admitted;
    if (card.flow === undefined) this.#next(card);
  }

  abort(flow: Flow): void {
    // What waits is skipped when its turn comes.
    flow.modelSlot = -1;
    const card = this.#cards[flow.from.host];
    const transfer = card?.sending;
    if (card?.flow !== flow || transfer === undefined) return;
    const { now } = this.#context.clock;
    transfer.cut = true;
    const unsent = Math.max(0, card.sentUntil - now) * card.upRate;
    card.sentUntil = Math.min(card.sentUntil, now);
    card.flow = card.sending = undefined;
    card.version++;
    if (flow.far === undefined) this.#cutOff(flow, transfer, unsent);
    else flow.far.cut(unsent);
    this.#next(card);
  }

  deafened(flow: Flow): void {
    const card = this.#cards[flow.to.host];
    if (card === undefined) return;
    for (let i = card.readingFlows.length - 1; i >= 0; i--)
      if (card.readingFlows[i] === flow) this.#stopReading(card, i, Infinity);
  }

  rateChanged(nic: Nic): void {
    const card = this.#cards[nic.host];
    if (card === undefined) return;
    const { clock } = this.#context;
    const later = (until: Millis, factor: number): Millis =>
      until > clock.now ? clock.now + (until - clock.now) * factor : until;
    card.sentUntil = later(card.sentUntil, card.upRate / nic.upRate);
    card.upRate = nic.upRate;
    if (card.flow !== undefined) clock.at(Math.max(card.sentUntil, card.wireUntil), this.#sent, card, ++card.version);
    const slower = card.downRate / nic.downRate;
    card.readUntil = later(card.readUntil, slower);
    card.downRate = nic.downRate;
    card.reading.forEach((transfer, i) =>
      this.#moveEnd(card.readingFlows[i], transfer, later(transfer.readUntil, slower)),
    );
  }

  #card(nic: Nic): Card {
    return (this.#cards[nic.host] ??= new Card(nic, this.#context.clock.now - this.#context.burstMs));
  }

  /** The card is free: begin with the payload that has waited longest. */
  #next(card: Card): void {
    const { clock, burstMs, wireRate = Infinity } = this.#context;
    while (card.size > 0) {
      const flow = card.shift();
      if (flow === undefined || flow.modelSlot < 0) continue;
      const transfer = flow.queue[0];
      if (transfer === undefined || flow.closed) {
        flow.modelSlot = -1;
        continue;
      }
      card.flow = flow;
      card.sending = transfer;
      card.sentUntil = Math.max(card.sentUntil, clock.now - burstMs) + transfer.length / card.upRate;
      card.wireUntil = clock.now + transfer.length / wireRate;
      if (flow.far === undefined) clock.afterConstant(flow.latencyMs, this.#headArrived, flow, transfer);
      else flow.far.head(transfer);
      clock.at(Math.max(card.sentUntil, card.wireUntil), this.#sent, card, ++card.version);
      return;
    }
  }

  readonly #sent = (card: Card, version: number): void => {
    const { flow, sending: transfer } = card;
    if (card.version !== version || flow === undefined || transfer === undefined) return;
    card.flow = card.sending = undefined;
    flow.queue.shift();
    flow.modelSlot--;
    if (flow.far === undefined) {
      transfer.arrivesAt = this.#context.clock.now + flow.latencyMs;
      if (transfer.headed) this.#scheduleReceived(flow, transfer);
    } else flow.far.tail();
    flow.sent(transfer);
    // That may have set the card to work already.
    if ((card.flow as Flow | undefined) === undefined) this.#next(card);
  };

  readonly #headArrived = (flow: Flow, transfer: Transfer): void => {
    if (flow.closed) return;
    const { clock, burstMs } = this.#context;
    transfer.headed = true;
    if (!transfer.cut) {
      const card = this.#card(flow.to);
      card.readUntil = Math.max(card.readUntil, clock.now - burstMs) + transfer.length / card.downRate;
      transfer.readUntil = card.readUntil;
      card.reading.push(transfer);
      card.readingFlows.push(flow);
      if (transfer.arrivesAt < Infinity) this.#scheduleReceived(flow, transfer);
    }
    flow.headArrived(transfer);
  };

  /** The head has arrived, the last byte has left. */
  #scheduleReceived(flow: Flow, transfer: Transfer): void {
    const { clock } = this.#context;
    // Most payloads are read as they come in; they all wait for the same time.
    if (transfer.readUntil <= transfer.arrivesAt && transfer.arrivesAt === clock.now + flow.latencyMs)
      clock.afterConstant(flow.latencyMs, this.#received, flow, transfer);
    else clock.at(Math.max(transfer.readUntil, transfer.arrivesAt), this.#received, flow, transfer);
  }

  readonly #received = (flow: Flow, transfer: Transfer): void => {
    if (flow.closed || transfer.readUntil === RECEIVED) return;
    const { clock } = this.#context;
    if (transfer.readUntil > clock.now) {
      // A slower card reads longer than was foreseen.
      clock.at(transfer.readUntil, this.#received, flow, transfer);
      return;
    }
    transfer.readUntil = RECEIVED;
    const card = this.#card(flow.to);
    card.forget(card.reading.indexOf(transfer));
    flow.received(transfer);
  };

  #cutOff(flow: Flow, transfer: Transfer, unsentBytes: number): void {
    const card = this.#cards[flow.to.host];
    const index = card?.reading.indexOf(transfer) ?? -1;
    if (card !== undefined && index >= 0) this.#stopReading(card, index, unsentBytes / card.downRate);
  }

  /** A payload does not come, or not all of it: up to `atMostMs` of its time go to those behind it. */
  #stopReading(card: Card, index: number, atMostMs: number): void {
    const { clock } = this.#context;
    const transfer = card.reading[index] as Transfer;
    const unreadMs = Math.min(transfer.readUntil - clock.now, transfer.length / card.downRate);
    const freedMs = Math.min(unreadMs, atMostMs);
    card.forget(index);
    if (!(freedMs > 0)) return;
    card.readUntil -= freedMs;
    card.reading.forEach((other, i) => {
      if (other.readUntil > transfer.readUntil) this.#moveEnd(card.readingFlows[i], other, other.readUntil - freedMs);
    });
  }

  /** A payload is read until `until` now; a task that comes too late finds it received. */
  #moveEnd(flow: Flow | undefined, transfer: Transfer, until: Millis): void {
    const isEarlier = until < transfer.readUntil;
    transfer.readUntil = until;
    if (isEarlier && transfer.arrivesAt < Infinity && flow !== undefined) this.#scheduleReceived(flow, transfer);
  }
}
