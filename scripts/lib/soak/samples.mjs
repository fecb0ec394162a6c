// Resident memory and open descriptors of processes over time (Linux).
import { readdirSync, readFileSync } from 'node:fs';

const EVERY_MS = 5000;

/**
 * One reading. `life` counts the starts of the process.
 * @typedef {{ atMs: number, life: number, rssMiB: number, descriptors: number }} Sample
 */

export class Samples {
  /** @type {Map<string, Sample[]>} */
  byName = new Map();
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
      }
    };
    this.#timer = setInterval(this.#read, EVERY_MS);
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
