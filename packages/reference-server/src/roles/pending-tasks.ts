/** A Go deployment's task database: its pending tasks must not be forgotten when this server takes over its disks. */
import { KrakenError } from '@kraken/core/errors';
import { pendingTasksOf } from './go-localdb.js';

/**
 * @param file `localdb.source`
 * @throws KrakenError `config-invalid` while tasks are pending, saying what to do
 */
export function refusePendingTasks(file: string): void {
  const pending = pendingTasksOf(file);
  if (pending === undefined || pending.writeback + pending.replicateTag === 0) return;
  throw new KrakenError(
    'config-invalid',
    `localdb.source: ${file} holds ${pending.writeback} write-back and ${pending.replicateTag} replication tasks of Kraken's Go server; ` +
      'let that server finish them, or move the file away to give them up',
  );
}
