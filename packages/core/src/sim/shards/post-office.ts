/**
 * Carries records between the shards of a run: opens and seals the boxes of each window, and hands what arrived to
 * whoever deals with its kind, at its virtual time. Owns the questions that wait for an answer of another shard.
 */
import type { MetaInfo } from '../../content/index.js';
import type { Millis } from '../../machine/index.js';
import type { VirtualClock } from '../clock.js';
import type { SimNode } from '../node.js';
import { HEADER_CELLS, MAIL, Outbox } from './mail.js';
import type { Agreed, Meeting } from './meeting.js';

/** What everybody who writes and reads records needs: nodes and blobs have the same numbers on all shards. */
export interface MailContext {
  readonly post: PostOffice;
  readonly clock: VirtualClock;
  /** One way, in milliseconds. */
  readonly latencyMs: number;
  readonly nodes: readonly SimNode[];
  readonly blobs: readonly MetaInfo[];
}

/** A record that has arrived: `cells` from `start` to `end` are what its kind says. Read before the next window begins. */
export type ReadRecord = (from: number, at: Millis, cells: Float64Array, start: number, end: number) => void;

/** Hears the answer to a question, at the time at which it arrives. */
export type Answered = (cells: readonly number[]) => void;

export class PostOffice {
  readonly shard: number;
  readonly shards: number;
  readonly #meeting: Meeting;
  readonly #clock: VirtualClock;
  readonly #outboxes: readonly (Outbox | undefined)[];
  readonly #readers: (ReadRecord | undefined)[] = [];
  readonly #questions = new Map<number, Answered>();
  #asked = 0;

  constructor(meeting: Meeting, clock: VirtualClock, shard: number, shards: number) {
    this.shard = shard;
    this.shards = shards;
    this.#meeting = meeting;
    this.#clock = clock;
    this.#outboxes = Array.from({ length: shards }, (_, to) =>
      to === shard ? undefined : new Outbox(meeting.boxTo(to)),
    );
    this.reads(MAIL.answered, this.#answerArrived);
  }

  /** Who deals with a kind of record. */
  reads(kind: number, reader: ReadRecord): void {
    this.#readers[kind] = reader;
  }

  to(shard: number): Outbox {
    return this.#outboxes[shard] as Outbox;
  }

  /** A number by which the answer will be known. */
  question(answered: Answered): number {
    this.#questions.set(++this.#asked, answered);
    return this.#asked;
  }

  answer(shard: number, at: Millis, question: number, cells: readonly number[]): void {
    const outbox = this.to(shard);
    const start = outbox.record(MAIL.answered, at, cells.length + 1);
    outbox.cells[start] = question;
    outbox.cells.set(cells, start + 1);
  }

  /** The window is over: exchange boxes with the other shards, which are through with it too when this returns. */
  exchange(open: number): Agreed {
    let nextAt = this.#clock.nextAt;
    for (const outbox of this.#outboxes) {
      if (outbox === undefined) continue;
      outbox.seal();
      nextAt = Math.min(nextAt, outbox.earliest);
    }
    const agreed = this.#meeting.meet(nextAt, open);
    this.#outboxes.forEach((outbox, to) => {
      if (outbox === undefined) return;
      this.#read(to, this.#meeting.boxFrom(to));
      outbox.open(this.#meeting.boxTo(to));
    });
    return agreed;
  }

  #read(from: number, cells: Float64Array): void {
    const end = cells[0] as number;
    for (let at = 1; at < end;) {
      const next = at + (cells[at + 1] as number);
      const reader = this.#readers[cells[at] as number];
      if (reader === undefined) throw new RangeError(`nobody reads records of kind ${cells[at]}`);
      reader(from, cells[at + 2] as number, cells, at + HEADER_CELLS, next);
      at = next;
    }
  }

  readonly #answerArrived: ReadRecord = (_from, at, cells, start, end) => {
    const question = cells[start] as number;
    const said = Array.from(cells.subarray(start + 1, end));
    this.#clock.at(at, () => {
      const answered = this.#questions.get(question);
      this.#questions.delete(question);
      answered?.(said);
    });
  };
}
