/**
 * What one shard writes for another while a window of virtual time runs: records of numbers in shared memory. The
 * reader takes them when every shard is through with the window, in the order in which they were written.
 *
 * A record is `kind, cells of the record, time of arrival in ms`, and what the kind says.
 */
import type { Millis } from '../../machine/index.js';

/** Kinds of records; who writes and who reads each of them is in `far-network.ts` and `far-trackers.ts`. */
export const MAIL = {
  handshake: 0,
  accepted: 1,
  hungUp: 2,
  message: 3,
  head: 4,
  tail: 5,
  cut: 6,
  layerAsked: 7,
  announced: 8,
  metaInfoAsked: 9,
  answered: 10,
} as const;

/** Cells before what the kind says. */
export const HEADER_CELLS = 3;

/** Cells of one box, 32 MiB: some hundred thousand steps of machines in one window. What is not written to takes no memory. */
export const BOX_CELLS = 1 << 22;

/** Writes the box of one window. */
export class Outbox {
  /** The box; whoever writes a record fills the cells behind the header. */
  cells: Float64Array;
  /** The first arrival of what is in the box; Infinity when it is empty. */
  earliest: Millis = Infinity;
  #end = 1;

  constructor(box: Float64Array) {
    this.cells = box;
  }

  /** Begin a window. */
  open(box: Float64Array): void {
    this.cells = box;
    this.earliest = Infinity;
    this.#end = 1;
  }

  /**
   * Begin a record.
   * @param cells without the header
   * @returns index of the first cell behind the header
   * @throws RangeError when the box is full
   */
  record(kind: number, at: Millis, cells: number): number {
    const start = this.#end;
    const total = cells + HEADER_CELLS;
    if (start + total > this.cells.length)
      throw new RangeError(
        `one window wrote more than ${this.cells.length} numbers for another shard: use fewer shards`,
      );
    this.#end = start + total;
    this.cells[start] = kind;
    this.cells[start + 1] = total;
    this.cells[start + 2] = at;
    if (at < this.earliest) this.earliest = at;
    return start + HEADER_CELLS;
  }

  /** The window is over: say how much is in the box. */
  seal(): void {
    this.cells[0] = this.#end;
  }
}
