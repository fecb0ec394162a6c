/**
 * Link model `max-min`: all transfers share the cards at both ends fairly, as long-lived TCP streams would.
 * Rates are computed by progressive filling at a fixed virtual interval; between two computations a new
 * transfer takes what its two cards have to spare, a transfer that ends leaves its share to the next
 * payload of its connection, or else to others.
 */
import type { Flow, LinkModel, LinkModelContext, Nic, Transfer } from './link-model.js';

interface Active {
  readonly flow: Flow;
  transfer: Transfer;
  /** Bytes of `transfer` that have left by `since`. */
  sent: number;
  since: number;
  /** Distinguishes a scheduled end from one that a new rate has overtaken. */
  version: number;
  /** Scratch of the filling. */
  fixed: boolean;
}

/** One direction of one card during the filling. */
interface Side {
  spare: number;
  open: number;
  readonly flows: Active[];
}

export class MaxMinLinks implements LinkModel {
  readonly name = 'max-min';
  readonly #context: LinkModelContext;
  readonly #active: (Active | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  readonly #ups: Side[] = [];
  readonly #downs: Side[] = [];
  readonly #cards: Nic[] = [];
  #count = 0;
  #ticking = false;

  constructor(context: LinkModelContext) {
    this.#context = context;
  }

  wake(flow: Flow): void {
    const transfer = flow.queue[0];
    if (flow.modelSlot >= 0 || transfer === undefined) return;
    const slot = this.#freeSlots.pop() ?? this.#active.length;
    const active: Active = { flow, transfer, sent: 0, since: this.#context.clock.now, version: 0, fixed: false };
    this.#active[slot] = active;
    flow.modelSlot = slot;
    this.#count++;
    this.#card(flow.from);
    this.#card(flow.to);
    const up = this.#ups[flow.from.host] as Side;
    const down = this.#downs[flow.to.host] as Side;
    // The first transfer of a quiet card must not wait for the next computation.
    flow.modelRate = Math.max(0, Math.min(up.spare, down.spare));
    up.spare -= flow.modelRate;
    down.spare -= flow.modelRate;
    this.#headOut(flow, transfer);
    this.#scheduleEnd(active);
    this.#tick();
  }

  abort(flow: Flow): void {
    if (flow.modelSlot >= 0) this.#remove(flow);
  }

  rateChanged(nic: Nic): void {
    const up = this.#ups[nic.host];
    const down = this.#downs[nic.host];
    if (up === undefined || down === undefined) return;
    this.#recompute();
  }

  #card(nic: Nic): void {
    if (this.#cards[nic.host] !== undefined) return;
    this.#cards[nic.host] = nic;
    this.#ups[nic.host] = { spare: nic.upRate, open: 0, flows: [] };
    this.#downs[nic.host] = { spare: nic.downRate, open: 0, flows: [] };
  }

  #remove(flow: Flow): void {
    const active = this.#active[flow.modelSlot] as Active;
    active.version++;
    this.#active[flow.modelSlot] = undefined;
    this.#freeSlots.push(flow.modelSlot);
    flow.modelSlot = -1;
    this.#count--;
    (this.#ups[flow.from.host] as Side).spare += flow.modelRate;
    (this.#downs[flow.to.host] as Side).spare += flow.modelRate;
    flow.modelRate = 0;
  }

  #headOut(flow: Flow, transfer: Transfer): void {
    this.#context.clock.afterConstant(flow.latencyMs, () => {
      if (!flow.closed) flow.headArrived(transfer);
    });
  }

  #scheduleEnd(active: Active): void {
    const version = ++active.version;
    const { clock, rateIntervalMs } = this.#context;
    const inMs = (active.transfer.length - active.sent) / active.flow.modelRate;
    // Whatever ends later is looked at again by the next computation.
    if (!(inMs <= rateIntervalMs)) return;
    clock.after(inMs, () => {
      if (active.version === version) this.#ended(active);
    });
  }

  #ended(active: Active): void {
    const { flow, transfer } = active;
    const { clock } = this.#context;
    transfer.sent = transfer.length;
    flow.queue.shift();
    clock.afterConstant(flow.latencyMs, () => {
      if (!flow.closed) flow.received(transfer);
    });
    const next = flow.queue[0];
    if (next === undefined) {
      this.#remove(flow);
    } else {
      active.transfer = next;
      active.sent = 0;
      active.since = clock.now;
      this.#headOut(flow, next);
      this.#scheduleEnd(active);
    }
    flow.sent(transfer);
  }

  #tick(): void {
    if (this.#ticking) return;
    this.#ticking = true;
    this.#context.clock.after(this.#context.rateIntervalMs, () => {
      this.#ticking = false;
      if (this.#count === 0) return;
      this.#recompute();
      this.#tick();
    });
  }

  /** Progressive filling: the card side with the least to give per open transfer fixes its transfers first. */
  #recompute(): void {
    const now = this.#context.clock.now;
    for (const nic of this.#cards) {
      // Hosts that never sent or received leave holes.
      if ((nic as Nic | undefined) === undefined) continue;
      const up = this.#ups[nic.host] as Side;
      const down = this.#downs[nic.host] as Side;
      up.spare = nic.upRate;
      down.spare = nic.downRate;
      up.open = down.open = 0;
      up.flows.length = down.flows.length = 0;
    }
    for (const active of this.#active) {
      if (active === undefined) continue;
      const { flow } = active;
      active.sent = Math.min(active.transfer.length, active.sent + (now - active.since) * flow.modelRate);
      active.since = now;
      active.fixed = false;
      const up = this.#ups[flow.from.host] as Side;
      const down = this.#downs[flow.to.host] as Side;
      up.flows.push(active);
      up.open++;
      down.flows.push(active);
      down.open++;
    }
    const heap = new SideHeap();
    for (const side of this.#ups)
      if ((side as Side | undefined) !== undefined && side.open > 0) heap.push(side, side.spare / side.open);
    for (const side of this.#downs)
      if ((side as Side | undefined) !== undefined && side.open > 0) heap.push(side, side.spare / side.open);
    for (;;) {
      const side = heap.pop();
      if (side === undefined) break;
      if (side.open === 0) continue;
      const share = side.spare / side.open;
      // Its share only grows as others are fixed; a stale key goes back in.
      if (share > heap.poppedKey) {
        heap.push(side, share);
        continue;
      }
      for (const active of side.flows) {
        if (active.fixed) continue;
        active.fixed = true;
        const { flow } = active;
        flow.modelRate = share;
        const up = this.#ups[flow.from.host] as Side;
        const down = this.#downs[flow.to.host] as Side;
        up.spare = Math.max(0, up.spare - share);
        up.open--;
        down.spare = Math.max(0, down.spare - share);
        down.open--;
      }
    }
    for (const active of this.#active) if (active !== undefined) this.#scheduleEnd(active);
  }
}

/** Sides by the share they can give; ties in the order of insertion. */
class SideHeap {
  readonly #keys: number[] = [];
  readonly #orders: number[] = [];
  readonly #sides: Side[] = [];
  #inserted = 0;
  poppedKey = 0;

  push(side: Side, key: number): void {
    const keys = this.#keys;
    const orders = this.#orders;
    const sides = this.#sides;
    let hole = keys.length;
    keys.push(key);
    orders.push(0);
    sides.push(side);
    while (hole > 0) {
      const parent = (hole - 1) >>> 1;
      if ((keys[parent] as number) <= key) break;
      keys[hole] = keys[parent] as number;
      orders[hole] = orders[parent] as number;
      sides[hole] = sides[parent] as Side;
      hole = parent;
    }
    keys[hole] = key;
    orders[hole] = this.#inserted++;
    sides[hole] = side;
  }

  pop(): Side | undefined {
    const keys = this.#keys;
    const orders = this.#orders;
    const sides = this.#sides;
    const first = sides[0];
    if (first === undefined) return undefined;
    this.poppedKey = keys[0] as number;
    const key = keys.pop() as number;
    const order = orders.pop() as number;
    const last = sides.pop() as Side;
    const size = keys.length;
    if (size === 0) return first;
    let hole = 0;
    for (;;) {
      let child = hole * 2 + 1;
      if (child >= size) break;
      const right = child + 1;
      if (right < size && this.#before(right, child)) child = right;
      const childKey = keys[child] as number;
      if (key < childKey || (key === childKey && order < (orders[child] as number))) break;
      keys[hole] = childKey;
      orders[hole] = orders[child] as number;
      sides[hole] = sides[child] as Side;
      hole = child;
    }
    keys[hole] = key;
    orders[hole] = order;
    sides[hole] = last;
    return first;
  }

  #before(a: number, b: number): boolean {
    const keys = this.#keys;
    return (
      (keys[a] as number) < (keys[b] as number) ||
      (keys[a] === keys[b] && (this.#orders[a] as number) < (this.#orders[b] as number))
    );
  }
}
