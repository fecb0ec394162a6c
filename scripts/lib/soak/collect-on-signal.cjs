// Loaded before the server in each process of a soak: SIGUSR2 collects all garbage. What is resident afterwards is what the
// process keeps; what is resident before is also what V8 has not looked at yet, which follows the load with many minutes of delay.
'use strict';
const v8 = require('node:v8');
const { runInNewContext } = require('node:vm');
const { isMainThread } = require('node:worker_threads');

if (isMainThread) {
  v8.setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  v8.setFlagsFromString('--no-expose-gc');
  process.on('SIGUSR2', () => collect());
}
