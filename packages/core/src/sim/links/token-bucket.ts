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
import type { FarArrivals, Flow, LinkModel, LinkModelContext, Nic } from './link-model.js';
import type { Transfer } from './transfer.js';

/** Cells of one card: what {@link Card} has accessors for, one cache line. */
const CELLS = 8;
/** Cards whose numbers lie in one array. */
const CARDS = 64;

/** Both directions of one card. Its numbers lie side by side: in fields each of them would be an object of its own. */
class Card {
  /** The payload that leaves, and its connection. */
  flow: Flow | undefined;
  sending: Transfer | undefined;
  /** Distinguishes a timed end from one that was overtaken. */
  version = 0;
  /** Payloads that wait to leave, in order, threaded through them. */
  #first: Transfer | undefined;
  #last: Transfer | undefined;
  /** Payloads that are being read. In no order. */
  readonly reading: Transfer[] = [];
  readonly #numbers: Float64Array;
  readonly #cell: number;

  /** @param numbers of {@link CARDS} cards, of which this is one */
  constructor(nic: Nic, full: Millis, numbers: Float64Array) {
    this.#numbers = numbers;
    this.#cell = (nic.host % CARDS) * CELLS;
    this.sentUntil = full;
    this.readUntil = full;
    this.upRate = nic.upRate;
    this.downRate = nic.downRate;
  }

  /** When the payload that leaves will have left; the bucket's debt and savings are the distance from now. */
  get sentUntil(): Millis {
    return this.#numbers[this.#cell] as number;
  }

  set sentUntil(at: Millis) {
    this.#numbers[this.#cell] = at;
  }

  /** When the wire will have carried it: savings do not make a wire faster. */
  get wireUntil(): Millis {
    return this.#numbers[this.#cell + 1] as number;
  }

  set wireUntil(at: Millis) {
    this.#numbers[this.#cell + 1] = at;
  }

  /** When everything that has begun to arrive will have been read. */
  get readUntil(): Millis {
    return this.#numbers[this.#cell + 2] as number;
  }

  set readUntil(at: Millis) {
    this.#numbers[this.#cell + 2] = at;
  }

  /** The rate that the times of what leaves were computed with. */
  get upRate(): number {
    return this.#numbers[this.#cell + 3] as number;
  }

  set upRate(rate: number) {
    this.#numbers[this.#cell + 3] = rate;
  }

  /** The rate that the times of what arrives were computed with. */
  get downRate(): number {
    return this.#numbers[this.#cell + 4] as number;
  }

  set downRate(rate: number) {
    this.#numbers[this.#cell + 4] = rate;
  }

  push(transfer: Transfer): void {
    if (this.#last === undefined) this.#first = transfer;
    else this.#last.nextOnCard = transfer;
    this.#last = transfer;
  }

  shift(): Transfer | undefined {
    const first = this.#first;
    if (first === undefined) return undefined;
    this.#first = first.nextOnCard;
    if (this.#first === undefined) this.#last = undefined;
    first.nextOnCard = undefined;
    return first;
  }

  /** A payload is not read any more. */
  forget(index: number): void {
    if (index < 0) return;
    const last = this.reading.pop();
    if (last !== undefined && index < this.reading.length) this.reading[index] = last;
  }
}

/** `Transfer.readUntil` of one that has been received. */
const RECEIVED = Infinity;

export class TokenBucketLinks implements LinkModel {
  readonly name = 'token-bucket';
  readonly #context: LinkModelContext;
  readonly #cards: (Card | undefined)[] = [];
  /** Numbers of cards, so many in each. */
  readonly #numbers: (Float64Array | undefined)[] = [];

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
    for (let transfer = flow.queue.unnoted; transfer !== undefined; transfer = transfer.next) {
      transfer.flow = flow;
      card.push(transfer);
    }
    flow.queue.unnoted = undefined;
    if (card.flow === undefined) this.#next(card);
  }

  abort(flow: Flow): void {
    // What waits on the card is nobody's from now on, also where the queue stays as it is, and is skipped when its turn comes.
    for (let transfer = flow.queue.first; transfer !== undefined; transfer = transfer.next) transfer.flow = undefined;
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
    for (let i = card.reading.length - 1; i >= 0; i--)
      if (card.reading[i]?.flow === flow) this.#stopReading(card, i, Infinity);
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
    for (const transfer of card.reading) this.#moveEnd(transfer, later(transfer.readUntil, slower));
  }

  #card(nic: Nic): Card {
    return this.#cards[nic.host] ?? this.#newCard(nic);
  }

  #newCard(nic: Nic): Card {
    const { clock, burstMs } = this.#context;
    const numbers = (this.#numbers[Math.floor(nic.host / CARDS)] ??= new Float64Array(CARDS * CELLS));
    const card = new Card(nic, clock.now - burstMs, numbers);
    this.#cards[nic.host] = card;
    return card;
  }

  /** The card is free: begin with the payload that has waited longest. */
  #next(card: Card): void {
    const { clock, burstMs, wireRate = Infinity } = this.#context;
    for (let transfer = card.shift(); transfer !== undefined; transfer = card.shift()) {
      const { flow } = transfer;
      if (flow === undefined || flow.closed) continue;
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
      transfer.flow = flow;
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
    for (const other of card.reading)
      if (other.readUntil > transfer.readUntil) this.#moveEnd(other, other.readUntil - freedMs);
  }

  /** A payload is read until `until` now; a task that comes too late finds it received. */
  #moveEnd(transfer: Transfer, until: Millis): void {
    const { flow } = transfer;
    const isEarlier = until < transfer.readUntil;
    transfer.readUntil = until;
    if (isEarlier && transfer.arrivesAt < Infinity && flow !== undefined) this.#scheduleReceived(flow, transfer);
  }
}
