/**
 * Virtual time. Owns the queue of timed tasks: a binary heap ordered by (time, sequence), and one FIFO
 * lane per constant delay, since whatever waits equally long also comes due in order. Two tasks of the
 * same instant run in the order in which they were scheduled, so that a run depends on its seed alone.
 *
 * Never reads real time.
 */
import type { Millis } from '../machine/index.js';

/** Something that becomes due. */
export type Task = () => void;

/** Tasks that all wait the same time: a growing ring, O(1) where the heap would be O(log n). */
class Lane {
  times = new Float64Array(64);
  sequences = new Float64Array(64);
  tasks: (Task | undefined)[] = new Array<Task | undefined>(64).fill(undefined);
  head = 0;
  size = 0;

  constructor(readonly delayMs: number) {}

  push(at: Millis, sequence: number, task: Task): void {
    if (this.size === this.tasks.length) this.#grow();
    const slot = (this.head + this.size) & (this.tasks.length - 1);
    this.times[slot] = at;
    this.sequences[slot] = sequence;
    this.tasks[slot] = task;
    this.size++;
  }

  shift(): Task {
    const task = this.tasks[this.head] as Task;
    this.tasks[this.head] = undefined;
    this.head = (this.head + 1) & (this.tasks.length - 1);
    this.size--;
    return task;
  }

  #grow(): void {
    const length = this.tasks.length;
    const times = new Float64Array(length * 2);
    const sequences = new Float64Array(length * 2);
    const tasks = new Array<Task | undefined>(length * 2).fill(undefined);
    for (let i = 0; i < this.size; i++) {
      const from = (this.head + i) & (length - 1);
      times[i] = this.times[from] as number;
      sequences[i] = this.sequences[from] as number;
      tasks[i] = this.tasks[from];
    }
    this.times = times;
    this.sequences = sequences;
    this.tasks = tasks;
    this.head = 0;
  }
}

export class VirtualClock {
  #now: Millis = 0;
  #sequence = 0;
  #times = new Float64Array(1024);
  #sequences = new Float64Array(1024);
  readonly #tasks: Task[] = [];
  readonly #lanes: Lane[] = [];

  /** Milliseconds since the start of the simulation. */
  get now(): Millis {
    return this.#now;
  }

  /** Tasks that wait. */
  get pending(): number {
    let waiting = this.#tasks.length;
    for (const lane of this.#lanes) waiting += lane.size;
    return waiting;
  }

  /** Run `task` at `at`; a time that has passed means now. */
  at(at: Millis, task: Task): void {
    this.#push(at > this.#now ? at : this.#now, this.#sequence++, task);
  }

  /** Run `task` in `delayMs`, for delays that are seldom the same. */
  after(delayMs: number, task: Task): void {
    this.at(this.#now + delayMs, task);
  }

  /** Like {@link after}, for a delay that very many tasks share: every distinct value costs a comparison per task. */
  afterConstant(delayMs: number, task: Task): void {
    for (const lane of this.#lanes) {
      if (lane.delayMs === delayMs) {
        lane.push(this.#now + delayMs, this.#sequence++, task);
        return;
      }
    }
    if (this.#lanes.length >= 8) {
      this.after(delayMs, task);
      return;
    }
    const lane = new Lane(delayMs);
    this.#lanes.push(lane);
    lane.push(this.#now + delayMs, this.#sequence++, task);
  }

  /**
   * Run the earliest task.
   * @returns false when nothing is due until `until`; time then stays where it is
   */
  runNext(until: Millis): boolean {
    let at = this.#tasks.length > 0 ? (this.#times[0] as number) : Infinity;
    let sequence = this.#tasks.length > 0 ? (this.#sequences[0] as number) : Infinity;
    let from: Lane | undefined;
    for (const lane of this.#lanes) {
      if (lane.size === 0) continue;
      const laneAt = lane.times[lane.head] as number;
      if (laneAt < at || (laneAt === at && (lane.sequences[lane.head] as number) < sequence)) {
        at = laneAt;
        sequence = lane.sequences[lane.head] as number;
        from = lane;
      }
    }
    if (at > until || at === Infinity) return false;
    this.#now = at;
    const task = from === undefined ? this.#pop() : from.shift();
    task();
    return true;
  }

  #push(at: Millis, sequence: number, task: Task): void {
    const tasks = this.#tasks;
    let hole = tasks.length;
    if (hole === this.#times.length) this.#grow();
    const times = this.#times;
    const sequences = this.#sequences;
    tasks.push(task);
    while (hole > 0) {
      const parent = (hole - 1) >>> 1;
      // A new task has the highest sequence, so it moves up only past a later time.
      if ((times[parent] as number) <= at) break;
      times[hole] = times[parent] as number;
      sequences[hole] = sequences[parent] as number;
      tasks[hole] = tasks[parent] as Task;
      hole = parent;
    }
    times[hole] = at;
    sequences[hole] = sequence;
    tasks[hole] = task;
  }

  #pop(): Task {
    const tasks = this.#tasks;
    const times = this.#times;
    const sequences = this.#sequences;
    const first = tasks[0] as Task;
    const last = tasks.pop() as Task;
    const size = tasks.length;
    if (size === 0) return first;
    const at = times[size] as number;
    const sequence = sequences[size] as number;
    let hole = 0;
    for (;;) {
      let child = hole * 2 + 1;
      if (child >= size) break;
      const right = child + 1;
      if (
        right < size &&
        ((times[right] as number) < (times[child] as number) ||
          (times[right] === times[child] && (sequences[right] as number) < (sequences[child] as number)))
      ) {
        child = right;
      }
      const childAt = times[child] as number;
      if (at < childAt || (at === childAt && sequence < (sequences[child] as number))) break;
      times[hole] = childAt;
      sequences[hole] = sequences[child] as number;
      tasks[hole] = tasks[child] as Task;
      hole = child;
    }
    times[hole] = at;
    sequences[hole] = sequence;
    tasks[hole] = last;
    return first;
  }

  #grow(): void {
    const times = new Float64Array(this.#times.length * 2);
    times.set(this.#times);
    this.#times = times;
    const sequences = new Float64Array(this.#sequences.length * 2);
    sequences.set(this.#sequences);
    this.#sequences = sequences;
  }
}
