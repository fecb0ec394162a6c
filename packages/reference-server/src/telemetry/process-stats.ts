/** What the process costs: memory and event-loop delay. Cheap enough to be always on. */
import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks';

/** The sampler's own period is part of every sample and is taken off again. */
const RESOLUTION_MS = 10;

export interface ProcessStats {
  readonly rssBytes: number;
  /** How much later than asked a timer ran, in ms. */
  readonly eventLoopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

export class ProcessMonitor {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  constructor() {
    this.#histogram.enable();
  }

  read(): ProcessStats {
    const delay = (ns: number): number => Math.max(0, Math.round((ns / 1e6 - RESOLUTION_MS) * 100) / 100);
    return {
      rssBytes: process.memoryUsage.rss(),
      eventLoopDelayMs: {
        p50: delay(this.#histogram.percentile(50)),
        p99: delay(this.#histogram.percentile(99)),
        max: delay(this.#histogram.max),
      },
    };
  }

  close(): void {
    this.#histogram.disable();
  }
}
