/** What a host hears of a machine's wishes to be woken: each change once, and again what it has been woken for. */
import test from 'ava';
import { MachineLoop } from '@kraken/core/machine';

test('a host is told of each new wish, of the same one again after it woke the machine, and of none when nothing is due', (t) => {
  const told: (number | undefined)[] = [];
  let wish: number | undefined;
  const loop = new MachineLoop<string, never>(
    { step: () => [], nextWakeup: () => wish },
    { now: () => 0, wakeAt: (at) => told.push(at), perform: () => undefined },
  );
  const posts = (next: number | undefined): void => {
    wish = next;
    loop.post('something');
  };
  posts(undefined);
  posts(5);
  posts(5);
  posts(3);
  posts(undefined);
  posts(undefined);
  t.deepEqual(told.splice(0), [5, 3, undefined]);
  posts(7);
  loop.woke();
  posts(7);
  loop.woke();
  posts(undefined);
  t.deepEqual(told, [7, 7]);
});
