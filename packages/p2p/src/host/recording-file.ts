/** The file of a node's recording: it ends when it is full, since a recording without its beginning is of no use. */
import { recordingEnd } from '@kraken/core/machine';
import type { Logger } from '@kraken/core/ports';
import type { Clock } from './clock.js';
import { LineFile } from './line-file.js';

/** Where the steps of the machine are written. */
export interface RecordOptions {
  /** JSON lines. A file that is there is kept as `<path>.previous`: it may tell why the last run ended. */
  readonly path: string;
  /** Recording ends when the file is so long. Default 256 MiB: some hours of a busy agent. Guess. */
  readonly sizeLimitBytes?: number;
}

const SIZE_LIMIT_BYTES = 256 * 2 ** 20;

/** @throws KrakenError `config-invalid` when the file cannot be made */
export function openRecordingFile(options: RecordOptions, logger: Logger, clock: Clock): LineFile {
  return new LineFile(
    {
      path: options.path,
      sizeLimitBytes: options.sizeLimitBytes ?? SIZE_LIMIT_BYTES,
      atLimit: { lastLine: recordingEnd('limit') },
      what: 'recording',
    },
    logger,
    clock,
  );
}
