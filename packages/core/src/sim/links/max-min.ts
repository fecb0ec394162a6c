/**
 * Link model `max-min`: all transfers share the cards at both ends fairly, as long-lived TCP streams would.
 * Rates are computed by progressive filling at a fixed virtual interval; between two computations a new
 * transfer takes what its two cards have to spare, a transfer that ends leaves its share to the next
 * payload of its connection, or else to others.
 *
 * Connections with something to send have a slot each; their numbers lie in flat arrays by slot, those of the
 * cards in flat arrays by side (2 × host: upwards, 2 × host + 1: downwards).
 */
import { doubled } from './flat.js';
import type { Flow, LinkModel, LinkModelContext, Nic } from './link-model.js';
import { SideHeap } from './side-heap.js';
import type { Transfer } from './transfer.js';

export class MaxMinLinks implements LinkModel {
  readonly name = 'max-min';
  readonly #context: LinkModelContext;
  // By slot.
  readonly #flows: (Flow | undefined)[] = [];
  readonly #transfers: (Transfer | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  #ups = new Int32Array(64);
  #downs = new Int32Array(64);
  #rates = new Float64Array(64);
  /** Bytes of the transfer, and how many have left by `#since`. */
  #lengths = new Float64Array(64);
  #left = new Float64Array(64);
  #since = new Float64Array(64);
  /** Distinguishes a timed end from one that a new rate has overtaken. */
  #versions = new Int32Array(64);
  #fixed = new Uint8Array(64);
  // By side.
  readonly #cards: (Nic | undefined)[] = [];
  #spare = new Float64Array(64);
  #open = new Int32Array(64);
  /** Where the slots of each side end in `#members`. */
  #ends = new Int32Array(64);
  readonly #heap = new SideHeap();
  /** Slots by side, for one computation. */
  #members = new Int32Array(128);
  #count = 0;
  /** Whether the connections with something to send, or the rates of a card, have changed since the last computation. */
  #stale = false;
  #ticking = false;

  constructor(context: LinkModelContext) {
    this.#context = context;
  }

  wake(flow: Flow): void {
    const transfer = flow.queue.first;
    if (flow.modelSlot >= 0 || transfer === undefined) return;
    const slot = this.#take(flow, transfer);
    const up = this.#side(flow.from, 0);
    const down = this.#side(flow.to, 1);
    this.#ups[slot] = up;
    this.#downs[slot] = down;
    // The first transfer of a quiet card must not wait for the next computation.
    const rate = Math.max(0, Math.min(this.#spare[up] as number, this.#spare[down] as number));
    this.#rates[slot] = rate;
    this.#spare[up] = (this.#spare[up] as number) - rate;
    this.#spare[down] = (this.#spare[down] as number) - rate;
    this.#begin(slot, transfer);
    this.#tick();
  }

  abort(flow: Flow): void {
    const slot = flow.modelSlot;
    if (slot < 0) return;
    (this.#transfers[slot] as Transfer).cut = true;
    this.#release(slot);
  }

  deafened(): void {
    // A sender goes on until it hears of it.
  }

  rateChanged(nic: Nic): void {
    if (this.#cards[nic.host] === undefined) return;
    this.#stale = true;
    this.#recompute();
  }

  /** @param direction 0 upwards, 1 downwards */
  #side(nic: Nic, direction: 0 | 1): number {
    const up = nic.host * 2;
    while (up + 1 >= this.#spare.length) {
      this.#spare = doubled(this.#spare);
      this.#open = doubled(this.#open);
      this.#ends = doubled(this.#ends);
    }
    if (this.#cards[nic.host] === undefined) {
      this.#cards[nic.host] = nic;
      this.#spare[up] = nic.upRate;
      this.#spare[up + 1] = nic.downRate;
    }
    return up + direction;
  }

  #take(flow: Flow, transfer: Transfer): number {
    const slot = this.#freeSlots.pop() ?? this.#flows.length;
    if (slot === this.#rates.length) {
      this.#ups = doubled(this.#ups);
      this.#downs = doubled(this.#downs);
      this.#rates = doubled(this.#rates);
      this.#lengths = doubled(this.#lengths);
      this.#left = doubled(this.#left);
      this.#since = doubled(this.#since);
      this.#versions = doubled(this.#versions);
      this.#fixed = doubled(this.#fixed);
      this.#members = doubled(this.#members);
    }
    this.#flows[slot] = flow;
    this.#transfers[slot] = transfer;
    flow.modelSlot = slot;
    this.#stale = true;
    this.#count++;
    return slot;
  }

  #release(slot: number): void {
    const flow = this.#flows[slot] as Flow;
    const up = this.#ups[slot] as number;
    const down = this.#downs[slot] as number;
    const rate = this.#rates[slot] as number;
    this.#versions[slot] = (this.#versions[slot] as number) + 1;
    this.#flows[slot] = this.#transfers[slot] = undefined;
    this.#freeSlots.push(slot);
    flow.modelSlot = -1;
    this.#stale = true;
    this.#count--;
    this.#spare[up] = (this.#spare[up] as number) + rate;
    this.#spare[down] = (this.#spare[down] as number) + rate;
  }

  #begin(slot: number, transfer: Transfer): void {
    const flow = this.#flows[slot] as Flow;
    const { clock } = this.#context;
    this.#transfers[slot] = transfer;
    this.#lengths[slot] = transfer.length;
    this.#left[slot] = 0;
    this.#since[slot] = clock.now;
    clock.afterConstant(flow.latencyMs, headArrived, flow, transfer);
    this.#scheduleEnd(slot);
  }

  #scheduleEnd(slot: number): void {
    const version = (this.#versions[slot] as number) + 1;
    this.#versions[slot] = version;
    const { clock, rateIntervalMs } = this.#context;
    const inMs = ((this.#lengths[slot] as number) - (this.#left[slot] as number)) / (this.#rates[slot] as number);
    // Whatever ends later is looked at again by the next computation.
    if (inMs <= rateIntervalMs) clock.after(inMs, this.#ended, slot, version);
  }

  readonly #ended = (slot: number, version: number): void => {
    if (this.#versions[slot] !== version) return;
    const flow = this.#flows[slot] as Flow;
    const transfer = this.#transfers[slot] as Transfer;
    flow.queue.shift();
    this.#context.clock.afterConstant(flow.latencyMs, received, flow, transfer);
    const next = flow.queue.first;
    if (next === undefined) this.#release(slot);
    else this.#begin(slot, next);
    flow.sent(transfer);
  };

  #tick(): void {
    if (this.#ticking) return;
    this.#ticking = true;
    this.#context.clock.after(this.#context.rateIntervalMs, this.#ticked);
  }

  readonly #ticked = (): void => {
    this.#ticking = false;
    if (this.#count === 0) return;
    this.#recompute();
    this.#tick();
  };

  #recompute(): void {
    this.#account();
    // The same transfers share the same cards: the rates stand.
    if (this.#stale) {
      this.#stale = false;
      this.#file();
      this.#fill();
    }
    for (let slot = 0; slot < this.#transfers.length; slot++)
      if (this.#transfers[slot] !== undefined) this.#scheduleEnd(slot);
  }

  /** Note what has left so far. */
  #account(): void {
    const { now } = this.#context.clock;
    for (let slot = 0; slot < this.#transfers.length; slot++) {
      if (this.#transfers[slot] === undefined) continue;
      const gone = (now - (this.#since[slot] as number)) * (this.#rates[slot] as number);
      this.#left[slot] = Math.min(this.#lengths[slot] as number, (this.#left[slot] as number) + gone);
      this.#since[slot] = now;
    }
  }

  /** File the slots by side. */
  #file(): void {
    const ups = this.#ups;
    const downs = this.#downs;
    const open = this.#open;
    const ends = this.#ends;
    const members = this.#members;
    const fixed = this.#fixed;
    const slots = this.#transfers.length;
    open.fill(0);
    for (let slot = 0; slot < slots; slot++) {
      // A free slot counts as fixed and is looked at no more.
      fixed[slot] = this.#transfers[slot] === undefined ? 1 : 0;
      if (fixed[slot] === 1) continue;
      const up = ups[slot] as number;
      const down = downs[slot] as number;
      open[up] = (open[up] as number) + 1;
      open[down] = (open[down] as number) + 1;
    }
    let end = 0;
    for (let side = 0; side < this.#cards.length * 2; side++) {
      // First where it starts; filing moves it to where it ends.
      ends[side] = end;
      end += open[side] as number;
    }
    for (let slot = 0; slot < slots; slot++) {
      if (fixed[slot] === 1) continue;
      const up = ups[slot] as number;
      const down = downs[slot] as number;
      members[ends[up] as number] = slot;
      ends[up] = (ends[up] as number) + 1;
      members[ends[down] as number] = slot;
      ends[down] = (ends[down] as number) + 1;
    }
  }

  /** Progressive filling: the side with the least to give per open transfer fixes its transfers first. */
  #fill(): void {
    const heap = this.#heap;
    const spare = this.#spare;
    const open = this.#open;
    const ends = this.#ends;
    const members = this.#members;
    const fixed = this.#fixed;
    for (const direction of [0, 1]) {
      for (let host = 0; host < this.#cards.length; host++) {
        const nic = this.#cards[host];
        // Hosts that never sent or received leave holes.
        if (nic === undefined) continue;
        const side = host * 2 + direction;
        const rate = direction === 0 ? nic.upRate : nic.downRate;
        spare[side] = rate;
        if ((open[side] as number) > 0) heap.push(side, rate / (open[side] as number));
      }
    }
    for (let side = heap.pop(); side >= 0; side = heap.pop()) {
      const isOpen = open[side] as number;
      if (isOpen === 0) continue;
      const share = (spare[side] as number) / isOpen;
      // Its share only grows as others are fixed; a stale key goes back in.
      if (share > heap.poppedKey) {
        heap.push(side, share);
        continue;
      }
      const end = ends[side] as number;
      for (let i = side === 0 ? 0 : (ends[side - 1] as number); i < end; i++) {
        const slot = members[i] as number;
        if (fixed[slot] === 1) continue;
        fixed[slot] = 1;
        this.#rates[slot] = share;
        const up = this.#ups[slot] as number;
        const down = this.#downs[slot] as number;
        spare[up] = Math.max(0, (spare[up] as number) - share);
        open[up] = (open[up] as number) - 1;
        spare[down] = Math.max(0, (spare[down] as number) - share);
        open[down] = (open[down] as number) - 1;
      }
    }
  }
}

function headArrived(flow: Flow, transfer: Transfer): void {
  if (!flow.closed) flow.headArrived(transfer);
}

function received(flow: Flow, transfer: Transfer): void {
  if (!flow.closed) flow.received(transfer);
}
