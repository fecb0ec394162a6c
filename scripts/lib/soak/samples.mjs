// Resident memory and open descriptors of processes over time, as they are and after a collection of garbage, and how long they
// waited for a core (Linux).
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const EVERY_MS = 5000;
/** Every so many readings, one after a collection. */
const COLLECT_EVERY = 6;
/** From the signal to the reading: collections take a tenth of a second, and have to wait for a core. */
const COLLECTING_MS = 1500;

/**
 * One reading. `life` counts the starts of the process; `heapMiB`, after collections, is what JavaScript can reach, buffers included.
 * @typedef {{ atMs: number, life: number, rssMiB: number, descriptors: number, heapMiB?: number }} Sample
 */

export class Samples {
  /** @type {Map<string, Sample[]>} */
  byName = new Map();
  /** After collections. @type {Map<string, Sample[]>} */
  collectedByName = new Map();
  /** Of main threads, by process: on a core, and ready but without one. What happened since a life's last reading is lost. */
  #scheduled = new Map();
  #processes;
  #now;
  #heaps;
  #timer;
  #collecting;
  #count = 0;

  /** @param {() => Iterable<{ name: string, child: import('node:child_process').ChildProcess, life: number }>} processes those that run now @param {() => number} now ms @param {string} heaps directory that collect-on-signal.cjs writes to */
  constructor(processes, now, heaps) {
    this.#processes = processes;
    this.#now = now;
    this.#heaps = heaps;
    this.#timer = setInterval(() => this.#tick(), EVERY_MS);
  }

  /** Seconds of all main threads together. @returns {{ ranSec: number, waitedSec: number }} */
  get scheduled() {
    const sum = (key) => [...this.#scheduled.values()].reduce((total, entry) => total + entry[key], 0);
    return { ranSec: sum('ranSec'), waitedSec: sum('waitedSec') };
  }

  stop() {
    clearInterval(this.#timer);
    clearTimeout(this.#collecting);
  }

  #tick() {
    const running = [...this.#processes()];
    for (const { name, child, life } of running) {
      const { pid } = child;
      this.#note(this.byName, name, pid, life);
      this.#scheduled.set(pid, scheduledOf(pid) ?? this.#scheduled.get(pid) ?? { ranSec: 0, waitedSec: 0 });
    }
    if (++this.#count % COLLECT_EVERY !== 0) return;
    // By collect-on-signal.cjs. False when the process has just ended.
    const asked = running.filter(({ child }) => child.kill('SIGUSR2'));
    this.#collecting = setTimeout(() => {
      for (const { name, child, life } of asked)
        this.#note(this.collectedByName, name, child.pid, life, heapOf(this.#heaps, child.pid));
    }, COLLECTING_MS);
  }

  #note(into, name, pid, life, more = {}) {
    const usage = usageOf(pid);
    if (usage === undefined) return;
    if (!into.has(name)) into.set(name, []);
    into.get(name).push({ atMs: this.#now(), life, ...usage, ...more });
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

/** Nothing when the process was not through with its collection. */
function heapOf(directory, pid) {
  const file = join(directory, String(pid));
  try {
    const heapMiB = Number(readFileSync(file, 'utf8')) / 2 ** 20;
    rmSync(file);
    return { heapMiB };
  } catch {
    // Not there yet.
    return {};
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
