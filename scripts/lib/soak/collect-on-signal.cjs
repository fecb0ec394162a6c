// Loaded before the server in each process of a soak: SIGUSR2 collects the garbage of the main thread. What is resident afterwards is
// what the process keeps; what is resident before is also what V8 has not looked at yet, and that settles for half an hour. How much of
// it JavaScript can reach, in bytes, is written to the directory that KRAKEN_SOAK_HEAPS names.
'use strict';
const { renameSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const v8 = require('node:v8');
const { runInNewContext } = require('node:vm');
const { isMainThread } = require('node:worker_threads');

if (isMainThread) {
  v8.setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  v8.setFlagsFromString('--no-expose-gc');
  process.on('SIGUSR2', () => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    const file = join(process.env.KRAKEN_SOAK_HEAPS, String(process.pid));
    writeFileSync(`${file}.part`, String(heapUsed + external));
    // Whoever reads sees all of it or nothing.
    renameSync(`${file}.part`, file);
  });
}
