/** Recycled read buffers by themselves. */
import test from 'ava';
import { Interrupt } from '../dist/store/interrupt.js';
import { LARGE_BYTES, ReadBuffers } from '../dist/store/read-buffers.js';

test('free buffers that nobody needed between two trims are let go, the others are used again', async (t) => {
  const buffers = new ReadBuffers(16 * LARGE_BYTES, 1);
  const take = async (): Promise<Uint8Array> => buffers.take(new Interrupt());
  const taken = [await take(), await take(), await take()];
  for (const buffer of taken) buffers.give(buffer);
  buffers.trim();
  const used = await take();
  t.true(taken.includes(used), 'they have only now been seen idle');
  buffers.give(used);
  buffers.trim();
  const after = [await take(), await take()];
  t.is(after[0], used);
  t.false(taken.includes(after[1]!));
  t.is(buffers.outBytes, 2 * LARGE_BYTES);
});
