/**
 * What came of asking an origin for a blob that it does not have. Source: spec origin-store-backends.md §1.4, §3.1.
 * Differs from Go in one row: a storage backend that fails is 503 with the reason, not 500.
 */
import type { ErrorCode } from '../errors/index.js';

/** How a fetch from storage stands. */
export type RefreshOutcome =
  /** The blob is there after all. */
  | { readonly kind: 'ready' }
  /** Being fetched: ask again. */
  | { readonly kind: 'pending' }
  | { readonly kind: 'not-found' }
  /** Too many fetches wait. */
  | { readonly kind: 'busy' }
  /** The backend failed, now or a moment ago. */
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string };

/** HTTP status of an outcome. `failed` takes the status of its code: see the error catalogue. */
export function refreshStatus(outcome: Exclude<RefreshOutcome, { kind: 'failed' }>): 200 | 202 | 404 | 503 {
  switch (outcome.kind) {
    case 'ready':
      return 200;
    case 'pending':
      return 202;
    case 'not-found':
      return 404;
    case 'busy':
      return 503;
  }
}
