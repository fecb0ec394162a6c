// The other end of lib/child.mjs, for children that are Node programs.
import { createInterface } from 'node:readline';

export function say(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

/** Call `take` for each command. The process ends with the parent. */
export function commands(take) {
  createInterface({ input: process.stdin })
    .on('line', (line) => take(JSON.parse(line)))
    .on('close', () => process.exit(0));
}

/** CPU seconds of the whole process so far, worker threads included, and its peak memory. */
export function usage() {
  const { user, system } = process.cpuUsage();
  return { cpuSec: (user + system) / 1e6, peakRssMiB: process.resourceUsage().maxRSS / 1024 };
}
