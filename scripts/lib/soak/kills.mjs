// Ends processes of the cluster as the plan says and starts them again. Owns the count of each one's lives.
import { setTimeout as sleep } from 'node:timers/promises';

export class Kills {
  #cluster;
  #now;
  #down = new Set();
  /** @type {Map<string, number>} starts after the first one */
  restarts = new Map();
  /** Texts: processes that ended by themselves, did not stop in order or did not start. */
  broken = [];
  kills = 0;
  stops = 0;

  /** @param {() => number} now ms since the start */
  constructor(cluster, now) {
    this.#cluster = cluster;
    this.#now = now;
  }

  /** Carry out all ends of a plan, one after the other. */
  async run(ends) {
    for (const end of ends) {
      await sleep(Math.max(0, end.atMs - this.#now()));
      await this.#end(end);
    }
  }

  /** Processes that run now. */
  *alive() {
    for (const [name, { child }] of this.#cluster.processes) {
      if (!this.#down.has(name)) yield { name, child, life: this.restarts.get(name) ?? 0 };
    }
  }

  /** Note who has ended without being asked to. */
  check() {
    for (const [name, { child, output }] of this.#cluster.processes) {
      const ended = child.exitCode ?? child.signalCode;
      if (ended === null || this.#down.has(name)) continue;
      this.#down.add(name);
      this.broken.push(`${name} ended by itself (${ended}):\n${output().slice(-2000)}`);
    }
  }

  async #end({ name, downMs, orderly }) {
    this.check();
    if (this.#down.has(name)) return;
    this.#down.add(name);
    if (orderly) {
      this.stops++;
      await this.#cluster.halt(name);
      const code = this.#cluster.process(name).child.exitCode;
      if (code !== 0)
        this.broken.push(`${name} stopped with ${code}:\n${this.#cluster.process(name).output().slice(-2000)}`);
    } else {
      this.kills++;
      await this.#cluster.kill(name);
    }
    await sleep(downMs);
    try {
      await this.#cluster.startRole(name);
      this.restarts.set(name, (this.restarts.get(name) ?? 0) + 1);
      this.#down.delete(name);
    } catch (error) {
      this.broken.push(String(error));
    }
  }
}
