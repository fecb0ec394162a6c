/**
 * Link model `token-bucket`: a sender's card gives chunks to its connections in turn, at its full rate; the
 * receiver buffers what comes and reads it at its own full rate, first come first served. That is what a
 * limiter on both ends does with chunks when nothing between the hosts is narrow. A sender does not slow
 * down for a receiver, but the requests in flight bound what can pile up there.
 */
import type { Flow, LinkModel, LinkModelContext, Nic, Transfer } from './link-model.js';

interface Sender {
  /** Flows with something to send, in the order of their turns. */
  turns: Flow[];
  head: number;
  busy: boolean;
}

export class TokenBucketLinks implements LinkModel {
  readonly name = 'token-bucket';
  readonly #context: LinkModelContext;
  readonly #senders: Sender[] = [];
  /** By host: when its card will have read everything that has come so far. */
  readonly #readUntil: number[] = [];

  constructor(context: LinkModelContext) {
    this.#context = context;
  }

  wake(flow: Flow): void {
    if (flow.modelSlot >= 0) return;
    flow.modelSlot = 0;
    const sender = this.#sender(flow.from);
    sender.turns.push(flow);
    if (!sender.busy) this.#nextChunk(flow.from, sender);
  }

  abort(): void {
    // An empty queue is skipped when its turn comes.
  }

  rateChanged(): void {
    // Rates are read chunk by chunk.
  }

  #sender(nic: Nic): Sender {
    return (this.#senders[nic.host] ??= { turns: [], head: 0, busy: false });
  }

  #nextChunk(nic: Nic, sender: Sender): void {
    while (sender.head < sender.turns.length) {
      const flow = sender.turns[sender.head++] as Flow;
      if (sender.head > 64 && sender.head * 2 > sender.turns.length) {
        sender.turns.splice(0, sender.head);
        sender.head = 0;
      }
      const transfer = flow.closed ? undefined : flow.queue[0];
      if (transfer === undefined) {
        flow.modelSlot = -1;
        continue;
      }
      const bytes = Math.min(this.#context.chunkBytes, transfer.length - transfer.sent);
      sender.busy = true;
      this.#context.clock.after(bytes / nic.upRate, () => this.#chunkSent(nic, sender, flow, transfer, bytes));
      return;
    }
    sender.turns.length = 0;
    sender.head = 0;
  }

  #chunkSent(nic: Nic, sender: Sender, flow: Flow, transfer: Transfer, bytes: number): void {
    sender.busy = false;
    const first = transfer.sent === 0;
    transfer.sent += bytes;
    const last = transfer.sent >= transfer.length;
    if (flow.closed || flow.queue[0] !== transfer) {
      // The connection ended under the chunk; what has left before it is on its way.
      flow.modelSlot = -1;
    } else {
      this.#context.clock.afterConstant(flow.latencyMs, () => this.#chunkArrived(flow, transfer, bytes, first, last));
      sender.turns.push(flow);
      if (last) {
        flow.queue.shift();
        flow.sent(transfer);
      }
    }
    this.#continue(nic, sender);
  }

  /** Telling that the last byte is out may have set this card to work already. */
  #continue(nic: Nic, sender: Sender): void {
    if (!sender.busy) this.#nextChunk(nic, sender);
  }

  #chunkArrived(flow: Flow, transfer: Transfer, bytes: number, first: boolean, last: boolean): void {
    if (flow.closed) return;
    const { clock } = this.#context;
    const readAt = Math.max(clock.now, this.#readUntil[flow.to.host] ?? 0) + bytes / flow.to.downRate;
    this.#readUntil[flow.to.host] = readAt;
    if (first) flow.headArrived(transfer);
    if (last) {
      clock.at(readAt, () => {
        if (!flow.closed) flow.received(transfer);
      });
    }
  }
}
