/** Adds tasks until it is killed; prints a key once its task is durable, and finishes every third one. Started by retry.test. */
import { TaskQueue } from '../dist/index.js';

const [path = '', from = '0'] = process.argv.slice(2);
const queue = await TaskQueue.open<{ n: number }>({
  path,
  name: 'crash',
  decode: ({ n }) => (typeof n === 'number' ? { n } : undefined),
  execute: () => Promise.resolve(),
});
let next = Number(from);
const writer = async (): Promise<void> => {
  for (;;) {
    const n = next++;
    await queue.add(`task-${n}`, { n });
    process.stdout.write(`added ${n}\n`);
    if (n % 3 === 0 && (await queue.remove(`task-${n}`))) process.stdout.write(`removed ${n}\n`);
  }
};
await Promise.all([writer(), writer(), writer(), writer()]);
