/**
 * Waiting pulls of the node. Each is answered exactly once, by `pull-finished`; until then it has a deadline. Many pulls
 * share one torrent. Never decides when a pull is done: the torrent does.
 */
import type { Digest, MetaInfo } from '../content/index.js';
import type { SwarmContext } from './context.js';
import type { Due } from './due.js';
import type { Failure } from './events.js';
import type { Timer } from './timers.js';

export interface Pull {
  readonly id: number;
  readonly namespace: string;
  readonly digest: Digest;
  readonly range: { readonly start: number; readonly end: number } | undefined;
  readonly streaming: boolean;
  readonly joinedAt: number;
  /** `pull-opened` was emitted. */
  opened: boolean;
  /** Pieces `first` to `end` (exclusive) are wanted; known once the torrent is open. */
  first: number;
  end: number;
  /** Its pieces are counted as wanted by the open torrent. */
  wanting: boolean;
  /** Lowest piece that the reader still needs. */
  reader: number;
  readonly timer: Timer<Due> | undefined;
}

export class Pulls {
  readonly #context: SwarmContext;
  readonly #waiting = new Map<number, Pull>();

  constructor(context: SwarmContext) {
    this.#context = context;
  }

  get size(): number {
    return this.#waiting.size;
  }

  get(id: number): Pull | undefined {
    return this.#waiting.get(id);
  }

  all(): Iterable<Pull> {
    return this.#waiting.values();
  }

  /** Take a pull in. The caller has checked the limit. */
  add(
    request: Pick<Pull, 'id' | 'namespace' | 'digest' | 'range' | 'streaming'> & { deadlineAt: number | undefined },
  ): Pull {
    const { now, timers } = this.#context;
    const { id, namespace, digest, range, streaming, deadlineAt } = request;
    const timer = deadlineAt === undefined ? undefined : timers.create({ kind: 'pull', pull: id });
    if (timer !== undefined && deadlineAt !== undefined) timers.set(timer, deadlineAt);
    const pull: Pull = {
      id,
      namespace,
      digest,
      range,
      streaming,
      joinedAt: now,
      opened: false,
      wanting: false,
      first: 0,
      end: 0,
      reader: 0,
      timer,
    };
    this.#waiting.set(id, pull);
    return pull;
  }

  /** Say that the length is known; once per pull. */
  open(pull: Pull, metainfo: MetaInfo): void {
    if (pull.opened) return;
    pull.opened = true;
    this.#context.out.push({ type: 'pull-opened', pull: pull.id, metainfo });
  }

  /** Answer and forget. A second call for the same pull does nothing. */
  finish(pull: Pull, failure?: Failure): void {
    if (this.#waiting.get(pull.id) !== pull) return;
    this.#waiting.delete(pull.id);
    if (pull.timer !== undefined) this.#context.timers.clear(pull.timer);
    this.refuse(pull.id, failure);
  }

  /** Answer a pull that was never taken in. */
  refuse(id: number, failure?: Failure): void {
    this.#context.out.push({ type: 'pull-finished', pull: id, ...(failure === undefined ? {} : { failure }) });
  }
}
