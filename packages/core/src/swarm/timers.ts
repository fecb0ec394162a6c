/**
 * Deadlines of the swarm machine: a binary heap of timers that know their place in it. Equal times fire in the order in
 * which they were set. Never calls anybody: the machine takes what is due.
 */

/** One deadline; `what` says what it is for. Made by {@link Timers.create}. */
export interface Timer<What> {
  readonly what: What;
  /** When it fires; meaningless while it is not set. */
  at: number;
  /** Place in the heap, -1 while not set. */
  slot: number;
  order: number;
}

export class Timers<What> {
  readonly #heap: Timer<What>[] = [];
  #orders = 0;
  /** Earliest time set; Infinity when there is none. Asked for after every event. */
  #next = Infinity;

  create(what: What): Timer<What> {
    return { what, at: Infinity, slot: -1, order: 0 };
  }

  /** Earliest time set. O(1). */
  get next(): number | undefined {
    return this.#next === Infinity ? undefined : this.#next;
  }

  /** (Re)set to `at`. O(log n). */
  set(timer: Timer<What>, at: number): void {
    timer.at = at;
    timer.order = this.#orders++;
    if (timer.slot < 0) {
      timer.slot = this.#heap.length;
      this.#heap.push(timer);
    }
    this.#sift(timer);
    this.#next = (this.#heap[0] as Timer<What>).at;
  }

  /** Set to `at` unless it fires earlier anyway. */
  setBy(timer: Timer<What>, at: number): void {
    if (timer.slot < 0 || timer.at > at) this.set(timer, at);
  }

  clear(timer: Timer<What>): void {
    const { slot } = timer;
    if (slot < 0) return;
    timer.slot = -1;
    const last = this.#heap.pop();
    if (last !== undefined && last !== timer) {
      last.slot = slot;
      this.#heap[slot] = last;
      this.#sift(last);
    }
    this.#next = this.#heap[0]?.at ?? Infinity;
  }

  /** Take the first timer that is due at `now`. */
  takeDue(now: number): Timer<What> | undefined {
    if (this.#next > now) return undefined;
    const first = this.#heap[0];
    if (first === undefined) return undefined;
    this.clear(first);
    return first;
  }

  #sift(timer: Timer<What>): void {
    const heap = this.#heap;
    let slot = timer.slot;
    while (slot > 0) {
      const parent = heap[(slot - 1) >>> 1] as Timer<What>;
      if (!before(timer, parent)) break;
      heap[slot] = parent;
      parent.slot = slot;
      slot = (slot - 1) >>> 1;
    }
    for (;;) {
      let child = 2 * slot + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Timer<What>, heap[child] as Timer<What>)) child++;
      const lower = heap[child] as Timer<What>;
      if (!before(lower, timer)) break;
      heap[slot] = lower;
      lower.slot = slot;
      slot = child;
    }
    heap[slot] = timer;
    timer.slot = slot;
  }
}

function before<What>(a: Timer<What>, b: Timer<What>): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
