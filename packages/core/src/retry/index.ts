export { Backoff, backoffDelayMs, PENDING_POLL_BACKOFF, SYNC_RETRY_BACKOFF, type BackoffConfig } from './backoff.js';
export { RetrySchedule, TASK_RETRY_BACKOFF, type RetryDecision, type RetryState } from './retry.js';
export { Random } from '../random/index.js';
