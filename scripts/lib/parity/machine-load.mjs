// How busy the machine was between two looks, with what and whether anybody waited for a processor (Linux; NaN elsewhere).
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Clock ticks of `/proc/stat` per second, on every Linux that Node runs on. */
const TICKS = 100;

export class MachineLoad {
  #at = performance.now();
  #busy = busySeconds();
  #waits = waitSeconds();

  /** @param {number} ownSeconds processor time of the processes under test since this was made */
  since(ownSeconds) {
    const seconds = (performance.now() - this.#at) / 1000;
    const whole = seconds * cpus().length;
    const busy = (busySeconds() - this.#busy) / whole;
    return {
      cores: cpus().length,
      /** Shares of all cores. */
      ownShare: ownSeconds / whole,
      othersShare: Math.max(0, busy - ownSeconds / whole),
      /** Share of the time in which somebody waited for a core. */
      waitedShare: (waitSeconds() - this.#waits) / seconds,
    };
  }
}

function busySeconds() {
  const [user, nice, system, , , irq, softirq, steal] = (read('/proc/stat', /^cpu +(.*)$/m) ?? '').split(' ').map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS;
}

function waitSeconds() {
  return Number(read('/proc/pressure/cpu', /^some .*total=(\d+)/m) ?? NaN) / 1e6;
}

function read(path, pattern) {
  try {
    return pattern.exec(readFileSync(path, 'utf8'))?.[1];
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'EOPNOTSUPP') return undefined;
    throw error;
  }
}
