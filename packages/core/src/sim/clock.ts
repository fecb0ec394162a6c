/**
 * Virtual time. Owns the queue of timed tasks: a heap ordered by (time, sequence), and one FIFO lane per
 * constant delay, since whatever waits equally long also comes due in order. Two tasks of the same instant
 * run in the order in which they were scheduled, so that a run depends on its seed alone.
 *
 * A task is a function and up to two arguments, kept in flat arrays: scheduling allocates nothing.
 *
 * Never reads real time.
 */
import type { Millis } from '../machine/index.js';

/** Something that becomes due. */
export type Task<Args extends readonly unknown[] = []> = (...args: Args) => void;

/** A task whose argument types the caller has checked. */
type AnyTask = (a: unknown, b: unknown) => void;

/** Cells of one task in the flat arrays: the function and its arguments. */
const CELLS = 3;
/** Lanes; more distinct delays go through the heap. */
const LANES_MAX = 8;

const emptyCells = (tasks: number): unknown[] => new Array<unknown>(tasks * CELLS).fill(undefined);

/** Tasks that all wait the same time: a growing ring, O(1) where the heap would be O(log n). */
class Lane {
  size = 0;
  /** Slot of the earliest task. */
  head = 0;
  times = new Float64Array(64);
  sequences = new Float64Array(64);
  cells = emptyCells(64);

  constructor(readonly delayMs: number) {}

  push(at: Millis, sequence: number, task: AnyTask, a: unknown, b: unknown): void {
    if (this.size === this.times.length) this.#grow();
    const slot = (this.head + this.size) & (this.times.length - 1);
    this.times[slot] = at;
    this.sequences[slot] = sequence;
    const { cells } = this;
    cells[slot * CELLS] = task;
    cells[slot * CELLS + 1] = a;
    cells[slot * CELLS + 2] = b;
    this.size++;
  }

  /** Time of the task that was pushed last; -Infinity when none waits. */
  get latest(): Millis {
    if (this.size === 0) return -Infinity;
    return this.times[(this.head + this.size - 1) & (this.times.length - 1)] as number;
  }

  /** Drop the earliest; its cells are overwritten sooner or later. */
  shift(): void {
    this.head = (this.head + 1) & (this.times.length - 1);
    this.size--;
  }

  #grow(): void {
    const { times, sequences, cells, head } = this;
    const { length } = times;
    this.times = new Float64Array(length * 2);
    this.sequences = new Float64Array(length * 2);
    this.cells = emptyCells(length * 2);
    for (let i = 0; i < length; i++) {
      const from = (head + i) & (length - 1);
      this.times[i] = times[from] as number;
      this.sequences[i] = sequences[from] as number;
      for (let cell = 0; cell < CELLS; cell++) this.cells[i * CELLS + cell] = cells[from * CELLS + cell];
    }
    this.head = 0;
  }
}

/** Time that moves when its next task is run. */
export class VirtualClock {
  #now: Millis = 0;
  #sequence = 0;
  // A heap of four children a node. What sifts is numbers; functions and arguments stay in their slot.
  #heapSize = 0;
  #times = new Float64Array(1024);
  #sequences = new Float64Array(1024);
  #slots = new Int32Array(1024);
  #cells = emptyCells(1024);
  readonly #freeSlots: number[] = [];
  readonly #lanes: Lane[] = [];
  /** Lanes of constant delays. */
  #constants = 0;
  /** Those of `inOrder`, by source; they are among the lanes too. */
  readonly #sources: (Lane | undefined)[] = [];

  /** Milliseconds since the start of the simulation. */
  get now(): Millis {
    return this.#now;
  }

  /** When the earliest task is due; Infinity when there is none. */
  get nextAt(): Millis {
    let at = this.#heapSize > 0 ? (this.#times[0] as number) : Infinity;
    for (const lane of this.#lanes) if (lane.size > 0) at = Math.min(at, lane.times[lane.head] as number);
    return at;
  }

  /** Tasks that wait. */
  get pending(): number {
    let waiting = this.#heapSize;
    for (const lane of this.#lanes) waiting += lane.size;
    return waiting;
  }

  /** Run `task` with `args` at `at`; a time that has passed means now. */
  at<Args extends [a?: unknown, b?: unknown]>(at: Millis, task: Task<Args>, ...args: Args): void;
  at(at: Millis, task: AnyTask, a?: unknown, b?: unknown): void {
    this.#push(at > this.#now ? at : this.#now, this.#sequence++, task, a, b);
  }

  /** Run `task` with `args` in `delayMs`, for delays that are seldom the same. */
  after<Args extends [a?: unknown, b?: unknown]>(delayMs: number, task: Task<Args>, ...args: Args): void;
  after(delayMs: number, task: AnyTask, a?: unknown, b?: unknown): void {
    this.#push(delayMs > 0 ? this.#now + delayMs : this.#now, this.#sequence++, task, a, b);
  }

  /** Like {@link after}, for a delay that very many tasks share: every distinct value costs a comparison per task. */
  afterConstant<Args extends [a?: unknown, b?: unknown]>(delayMs: number, task: Task<Args>, ...args: Args): void;
  afterConstant(delayMs: number, task: AnyTask, a?: unknown, b?: unknown): void {
    for (const lane of this.#lanes) {
      if (lane.delayMs === delayMs) {
        lane.push(this.#now + delayMs, this.#sequence++, task, a, b);
        return;
      }
    }
    if (this.#constants >= LANES_MAX) {
      this.#push(this.#now + delayMs, this.#sequence++, task, a, b);
      return;
    }
    const lane = new Lane(delayMs);
    this.#constants++;
    this.#lanes.push(lane);
    lane.push(this.#now + delayMs, this.#sequence++, task, a, b);
  }

  /**
   * Run `task` at `at`, for tasks of one source whose times never fall.
   * @param source small number from 0
   * @throws RangeError when `at` has passed, or is before what the source gave last
   */
  inOrder<Args extends [a?: unknown, b?: unknown]>(source: number, at: Millis, task: Task<Args>, ...args: Args): void;
  inOrder(source: number, at: Millis, task: AnyTask, a?: unknown, b?: unknown): void {
    let lane = this.#sources[source];
    if (lane === undefined) {
      this.#sources[source] = lane = new Lane(NaN);
      this.#lanes.push(lane);
    }
    if (at < this.#now || at < lane.latest)
      throw new RangeError(
        `a task of source ${source} expected a time from ${Math.max(this.#now, lane.latest)} on, got ${at}`,
      );
    lane.push(at, this.#sequence++, task, a, b);
  }

  /** Nothing is due before `at`: it is `at` now. */
  advanceTo(at: Millis): void {
    this.#now = Math.max(this.#now, Math.min(at, this.nextAt));
  }

  /**
   * Run the earliest task.
   * @returns false when nothing is due until `until`; time then stays where it is
   */
  runNext(until: Millis): boolean {
    let at = this.#heapSize > 0 ? (this.#times[0] as number) : Infinity;
    let sequence = this.#heapSize > 0 ? (this.#sequences[0] as number) : Infinity;
    let from: Lane | undefined;
    for (const lane of this.#lanes) {
      if (lane.size === 0) continue;
      const laneAt = lane.times[lane.head] as number;
      if (laneAt > at) continue;
      const laneSequence = lane.sequences[lane.head] as number;
      if (laneAt === at && laneSequence > sequence) continue;
      at = laneAt;
      sequence = laneSequence;
      from = lane;
    }
    if (at > until || at === Infinity) return false;
    this.#now = at;
    let cells: unknown[];
    let cell: number;
    if (from !== undefined) {
      ({ cells } = from);
      cell = from.head * CELLS;
      from.shift();
    } else {
      cells = this.#cells;
      cell = this.#pop() * CELLS;
    }
    const task = cells[cell] as AnyTask;
    const a = cells[cell + 1];
    const b = cells[cell + 2];
    // What ran must not be kept alive by its slot.
    cells[cell + 1] = cells[cell + 2] = undefined;
    task(a, b);
    return true;
  }

  #push(at: Millis, sequence: number, task: AnyTask, a: unknown, b: unknown): void {
    let hole = this.#heapSize++;
    if (hole === this.#times.length) this.#grow();
    const slot = this.#freeSlots.pop() ?? hole;
    const cells = this.#cells;
    cells[slot * CELLS] = task;
    cells[slot * CELLS + 1] = a;
    cells[slot * CELLS + 2] = b;
    const times = this.#times;
    const sequences = this.#sequences;
    const slots = this.#slots;
    while (hole > 0) {
      const parent = (hole - 1) >>> 2;
      // A new task has the highest sequence, so it moves up only past a later time.
      if ((times[parent] as number) <= at) break;
      times[hole] = times[parent] as number;
      sequences[hole] = sequences[parent] as number;
      slots[hole] = slots[parent] as number;
      hole = parent;
    }
    times[hole] = at;
    sequences[hole] = sequence;
    slots[hole] = slot;
  }

  /** Take the earliest off the heap. @returns its slot, which is free from then on */
  #pop(): number {
    const times = this.#times;
    const sequences = this.#sequences;
    const slots = this.#slots;
    const first = slots[0] as number;
    this.#freeSlots.push(first);
    const size = --this.#heapSize;
    const at = times[size] as number;
    const sequence = sequences[size] as number;
    const last = slots[size] as number;
    let hole = 0;
    for (;;) {
      const firstChild = hole * 4 + 1;
      if (firstChild >= size) break;
      let child = firstChild;
      let childAt = times[child] as number;
      const end = Math.min(firstChild + 4, size);
      for (let other = firstChild + 1; other < end; other++) {
        const otherAt = times[other] as number;
        if (otherAt > childAt) continue;
        if (otherAt === childAt && (sequences[other] as number) > (sequences[child] as number)) continue;
        child = other;
        childAt = otherAt;
      }
      if (at < childAt || (at === childAt && sequence < (sequences[child] as number))) break;
      times[hole] = childAt;
      sequences[hole] = sequences[child] as number;
      slots[hole] = slots[child] as number;
      hole = child;
    }
    times[hole] = at;
    sequences[hole] = sequence;
    slots[hole] = last;
    return first;
  }

  #grow(): void {
    const length = this.#times.length * 2;
    const times = new Float64Array(length);
    times.set(this.#times);
    this.#times = times;
    const sequences = new Float64Array(length);
    sequences.set(this.#sequences);
    this.#sequences = sequences;
    const slots = new Int32Array(length);
    slots.set(this.#slots);
    this.#slots = slots;
    for (let i = this.#cells.length; i < length * CELLS; i++) this.#cells.push(undefined);
  }
}
