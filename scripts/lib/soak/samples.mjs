// Resident memory and open descriptors of processes over time, and how long they waited for a core (Linux).
import { readdirSync, readFileSync } from 'node:fs';

const EVERY_MS = 5000;

/**
 * One reading. `life` counts the starts of the process.
 * @typedef {{ atMs: number, life: number, rssMiB: number, descriptors: number }} Sample
 */

export class Samples {
  /** @type {Map<string, Sample[]>} */
  byName = new Map();
  /** Of main threads, by process: on a core, and ready but without one. What happened since a life's last reading is lost. */
  #scheduled = new Map();
  #read;
  #timer;

  /** @param {() => Iterable<{ name: string, pid: number | undefined, life: number }>} processes those that run now @param {() => number} now ms */
  constructor(processes, now) {
    this.#read = () => {
      for (const { name, pid, life } of processes()) {
        const usage = usageOf(pid);
        if (usage === undefined) continue;
        if (!this.byName.has(name)) this.byName.set(name, []);
        this.byName.get(name).push({ atMs: now(), life, ...usage });
        this.#scheduled.set(pid, scheduledOf(pid) ?? this.#scheduled.get(pid) ?? { ranSec: 0, waitedSec: 0 });
      }
    };
    this.#timer = setInterval(this.#read, EVERY_MS);
  }

  /** Seconds of all main threads together. @returns {{ ranSec: number, waitedSec: number }} */
  get scheduled() {
    const sum = (key) => [...this.#scheduled.values()].reduce((total, entry) => total + entry[key], 0);
    return { ranSec: sum('ranSec'), waitedSec: sum('waitedSec') };
  }

  stop() {
    clearInterval(this.#timer);
  }
}

/** @returns `undefined` when the process has ended */
function usageOf(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kib = /^VmRSS:\s+(\d+)/m.exec(status)?.[1];
    if (kib === undefined) return undefined;
    return { rssMiB: Number(kib) / 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    // Between its end and the next start.
    return undefined;
  }
}

/** @returns `undefined` when the process has ended */
function scheduledOf(pid) {
  try {
    const [ran, waited] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ').map(Number);
    return { ranSec: ran / 1e9, waitedSec: waited / 1e9 };
  } catch {
    // Ended since the reading before.
    return undefined;
  }
}
