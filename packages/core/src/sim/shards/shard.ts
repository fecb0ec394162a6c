/**
 * One part of a large run: some of the nodes, on a thread of their own. Nothing reaches another host in less than one
 * latency, so all shards may run one latency ahead of the earliest task anywhere before they exchange what they wrote.
 */
import type { Millis } from '../../machine/index.js';
import type { SimOptions } from '../options.js';
import type { MachineFactory } from '../simulation.js';
import { Simulation } from '../simulation.js';
import { Meeting, type Agreed, type ShardMemory } from './meeting.js';
import type { ShardResult } from './merge.js';

/** Runs shard number `shard`; `options.shards` threads must do so with the same options and memory. */
export class Shard {
  readonly #simulation: Simulation;
  readonly #meeting: Meeting;
  #agreed: Agreed = { nextAt: 0, open: 0 };

  constructor(options: Partial<SimOptions>, memory: ShardMemory, shard: number, createMachine?: MachineFactory) {
    this.#meeting = new Meeting(memory, shard);
    this.#simulation = new Simulation(options, createMachine, { shard, meeting: this.#meeting });
  }

  /**
   * Run to the end.
   * @throws CheckFailed when a checker objects here; ShardAbandoned when another shard failed
   */
  run(): ShardResult {
    try {
      return this.#run();
    } catch (error) {
      this.#meeting.abandon();
      throw error;
    }
  }

  #run(): ShardResult {
    const simulation = this.#simulation;
    const { horizonMs, quietMs } = simulation.options;
    simulation.begin();
    this.#exchange();
    const finishedAt = this.#pull(horizonMs);
    const virtualMs = simulation.openPulls === 0 ? simulation.progress.lastAtMs : simulation.now;
    if (this.#agreed.open === 0) {
      this.#quiet(finishedAt + quietMs);
      simulation.endChecks();
      simulation.shutDown();
      this.#exchange();
      this.#quiet(finishedAt + 2 * quietMs);
      simulation.shutdownChecks();
    }
    return simulation.result(virtualMs);
  }

  /** @returns the end of the last window, the same on every shard */
  #pull(horizonMs: Millis): Millis {
    let end = 0;
    while (this.#agreed.open > 0 && this.#agreed.nextAt <= horizonMs) end = this.#window(horizonMs);
    return end;
  }

  #quiet(until: Millis): void {
    while (this.#agreed.nextAt <= until) this.#window(until);
    this.#simulation.clock.advanceTo(until);
  }

  #window(until: Millis): Millis {
    const end = Math.min(this.#agreed.nextAt + this.#simulation.options.latencyMs, until);
    this.#simulation.runUntil(end);
    this.#exchange();
    return end;
  }

  #exchange(): void {
    this.#agreed = this.#simulation.exchange();
  }
}
