/** The queue that is threaded through the payloads of a connection, against an array. */
import test from 'ava';
import fc from 'fast-check';
import { Transfer, TransferQueue } from '@kraken/core/sim';

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
