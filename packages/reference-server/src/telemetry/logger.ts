/** The one place that knows pino: JSON lines on standard error behind core's Logger. */
import type { Logger } from '@kraken/core/ports';
import { destination, pino } from 'pino';

/** Levels of the `zap.level` key. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** @param fields added to every line, e.g. `{ role: 'agent' }` */
export function createLogger(level: LogLevel, fields: Readonly<Record<string, unknown>>): Logger {
  const log = pino(
    {
      level,
      base: fields,
      messageKey: 'message',
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination({ fd: 2, sync: true }),
  );
  return {
    debug: (values, message) => log.debug(values, message),
    info: (values, message) => log.info(values, message),
    warn: (values, message) => log.warn(values, message),
    error: (values, message) => log.error(values, message),
  };
}

/** The level named in a configuration; anything unknown is `info`. */
export function levelOf(name: string): LogLevel {
  const level = name.toLowerCase();
  return level === 'debug' || level === 'warn' || level === 'error' ? level : 'info';
}
