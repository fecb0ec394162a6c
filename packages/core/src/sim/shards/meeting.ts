/**
 * Where shards meet: shared memory in which each says, at the end of a window, when its next task is due and how many
 * pulls it waits for, and then waits for the others. Boxes and what is said are there twice, since who is early already
 * writes for the next window.
 */
import type { Millis } from '../../machine/index.js';
import { BOX_CELLS } from './mail.js';

/** What all shards of one run share; can be posted to workers. */
export interface ShardMemory {
  readonly shards: number;
  readonly control: SharedArrayBuffer;
  readonly said: SharedArrayBuffer;
  /** By parity of the window, writer and reader. */
  readonly boxes: readonly SharedArrayBuffer[];
}

/** What all shards said at one meeting. */
export interface Agreed {
  /** When anything happens next anywhere; Infinity: never. */
  readonly nextAt: Millis;
  /** Pulls that wait for their answer, everywhere. */
  readonly open: number;
}

/** Another shard ended with an error, which it reports itself. */
export class ShardAbandoned extends Error {
  constructor() {
    super('another shard failed');
    this.name = 'ShardAbandoned';
  }
}

const ARRIVED = 0;
const MEETINGS = 1;
/** Changes when all have come, and when a shard fails: what the others wait for. */
const SIGNALS = 2;
/** The meeting, counted from 1, to which a shard did not come; 0: none. The first one when several fail. */
const FAILED = 3;
const CONTROL_CELLS = 4;

/**
 * Turns of waiting before the thread sleeps, some 50 µs. Windows are short, and waking costs more than most waits; more turns gain
 * nothing, and take the core from a shard that has work where there are more shards than cores.
 */
const TURNS = 5000;
/** Cells that one shard says. */
const SAID_CELLS = 2;

/** Memory for a run of so many shards. */
export function createShardMemory(shards: number): ShardMemory {
  return {
    shards,
    control: new SharedArrayBuffer(CONTROL_CELLS * Int32Array.BYTES_PER_ELEMENT),
    said: new SharedArrayBuffer(2 * shards * SAID_CELLS * Float64Array.BYTES_PER_ELEMENT),
    boxes: Array.from(
      { length: 2 * shards * shards },
      (_, i) => new SharedArrayBuffer((isOwn(i, shards) ? 1 : BOX_CELLS) * Float64Array.BYTES_PER_ELEMENT),
    ),
  };
}

/** Nobody writes to itself. */
const isOwn = (box: number, shards: number): boolean => Math.floor(box / shards) % shards === box % shards;

/** One shard's place at the meetings. */
export class Meeting {
  readonly #shards: number;
  readonly #shard: number;
  readonly #control: Int32Array;
  readonly #said: Float64Array;
  readonly #boxes: readonly Float64Array[];
  /** Of the window that runs: 0 or 1. */
  #parity = 0;

  constructor(memory: ShardMemory, shard: number) {
    this.#shards = memory.shards;
    this.#shard = shard;
    this.#control = new Int32Array(memory.control);
    this.#said = new Float64Array(memory.said);
    this.#boxes = memory.boxes.map((box) => new Float64Array(box));
  }

  /** The box for another shard, in the window that runs. */
  boxTo(shard: number): Float64Array {
    return this.#box(this.#parity, this.#shard, shard);
  }

  /** The box from another shard, of the window that ended at the last meeting. */
  boxFrom(shard: number): Float64Array {
    return this.#box(this.#parity ^ 1, shard, this.#shard);
  }

  /**
   * The window is over here. Returns when it is over everywhere; the next one runs from then on.
   * @throws ShardAbandoned when another shard will never come
   */
  meet(nextAt: Millis, open: number): Agreed {
    const base = this.#parity * this.#shards * SAID_CELLS;
    this.#said[base + this.#shard * SAID_CELLS] = nextAt;
    this.#said[base + this.#shard * SAID_CELLS + 1] = open;
    this.#await();
    this.#parity ^= 1;
    let earliest = Infinity;
    let all = 0;
    for (let shard = 0; shard < this.#shards; shard++) {
      earliest = Math.min(earliest, this.#said[base + shard * SAID_CELLS] as number);
      all += this.#said[base + shard * SAID_CELLS + 1] as number;
    }
    return { nextAt: earliest, open: all };
  }

  /** This shard will not come to the next meeting: let the others go. They still run the window that they are in. */
  abandon(): void {
    const control = this.#control;
    Atomics.compareExchange(control, FAILED, 0, Atomics.load(control, MEETINGS) + 1);
    this.#signal();
  }

  #await(): void {
    const control = this.#control;
    const meeting = Atomics.load(control, MEETINGS);
    if (Atomics.add(control, ARRIVED, 1) === this.#shards - 1) {
      Atomics.store(control, ARRIVED, 0);
      Atomics.store(control, MEETINGS, meeting + 1);
      this.#signal();
      return;
    }
    for (let turn = 0; Atomics.load(control, MEETINGS) === meeting; turn++) {
      // Read before what it stands for, so that no signal is missed.
      const signal = Atomics.load(control, SIGNALS);
      if (Atomics.load(control, FAILED) === meeting + 1) throw new ShardAbandoned();
      if (turn >= TURNS && Atomics.load(control, MEETINGS) === meeting) Atomics.wait(control, SIGNALS, signal);
    }
  }

  #signal(): void {
    Atomics.add(this.#control, SIGNALS, 1);
    Atomics.notify(this.#control, SIGNALS);
  }

  #box(parity: number, from: number, to: number): Float64Array {
    return this.#boxes[(parity * this.#shards + from) * this.#shards + to] as Float64Array;
  }
}
