/** Logging and metrics as plain objects; any library fits behind them. */

/** Structured log lines. `fields` first-class, message short. A pino logger satisfies it through a two-line adapter. */
export interface Logger {
  /** For those who look for a fault. */
  debug(fields: object, message: string): void;
  /** What an operator may want to know. */
  info(fields: object, message: string): void;
  /** Something is not as it should be, and work goes on. */
  warn(fields: object, message: string): void;
  /** Something failed that nobody else reports. */
  error(fields: object, message: string): void;
}

/** Drops everything. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Counters, gauges and histograms by name; labels are low-cardinality. */
export interface Metrics {
  /** Add to a counter; `value` absent: 1. */
  count(name: string, value?: number, labels?: Readonly<Record<string, string>>): void;
  /** Set a gauge. */
  gauge(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
  /** One observation of a histogram. */
  observe(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
}

/** Drops everything. */
export const silentMetrics: Metrics = {
  count: () => undefined,
  gauge: () => undefined,
  observe: () => undefined,
};
