/** The queue that is threaded through the payloads of a connection, against an array; and that what is aborted never leaves. */
import test from 'ava';
import fc from 'fast-check';
import { LINK_MODELS, Random, Transfer, TransferQueue, VirtualClock } from '@kraken/core/sim';

const drawnStep = fc.constantFrom('push', 'push', 'shift', 'note', 'clear');

test('a queue of payloads gives them back in order, each once, and knows which the model has not noted', (t) => {
  fc.assert(
    fc.property(fc.array(drawnStep, { maxLength: 60 }), (steps) => {
      const queue = new TransferQueue();
      let expected: Transfer[] = [];
      let noted = 0;
      for (const step of steps) {
        if (step === 'push') {
          const transfer = new Transfer(expected.length);
          queue.push(transfer);
          expected.push(transfer);
        } else if (step === 'shift') {
          queue.shift();
          expected.shift();
          noted = Math.max(0, noted - 1);
        } else if (step === 'note') {
          queue.unnoted = undefined;
          noted = expected.length;
        } else {
          if (queue.clear().some((transfer, i) => transfer !== expected[i])) return false;
          expected = [];
          noted = 0;
        }
        if (queue.first !== expected[0] || queue.length !== expected.length) return false;
        if (queue.unnoted !== expected[noted]) return false;
      }
      const left = queue.clear();
      return left.length === expected.length && left.every((transfer) => transfer.next === undefined);
    }),
  );
  t.pass();
});

for (const [name, create] of Object.entries(LINK_MODELS)) {
  test(`${name}: a payload whose connection was aborted while it waited does not leave when the card becomes free`, (t) => {
    const clock = new VirtualClock();
    const model = create({ clock, random: new Random(1), burstMs: 0, rateIntervalMs: 1 });
    const nics = [0, 1, 2].map((host) => ({ host, upRate: 100, downRate: 100 }));
    const happened: string[] = [];
    const [sending, waiting] = [1, 2].map((to) => {
      const flow = {
        from: nics[0]!,
        to: nics[to]!,
        latencyMs: 1,
        queue: new TransferQueue(),
        modelSlot: -1,
        closed: false,
        headArrived: () => void happened.push(`head at ${to}`),
        sent: () => void happened.push(`sent to ${to}`),
        received: () => void happened.push(`received at ${to}`),
      };
      clock.at(0, () => {
        flow.queue.push(new Transfer(10_000));
        model.wake(flow);
      });
      return flow;
    });
    clock.at(50, () => {
      happened.length = 0;
      model.abort(waiting!);
      model.abort(sending!);
    });
    while (clock.runNext(10_000));
    t.deepEqual(happened, []);
    // The card is free for what comes later.
    const later = { ...sending!, queue: new TransferQueue(), modelSlot: -1 };
    later.queue.push(new Transfer(10_000));
    model.wake(later);
    while (clock.runNext(20_000));
    t.deepEqual(happened, ['head at 1', 'sent to 1', 'received at 1']);
  });
}
