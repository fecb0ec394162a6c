/**
 * When a commit may be acknowledged, and who gets a copy when. Pure decisions of an origin; never moves a byte.
 * Source: spec origin-store-backends.md §2.2; unlike Go an acknowledged blob exists twice, or is in the backend.
 */

/** Copies on different origins that count as durable. */
const COPIES_WANTED = 2;

/** Kraken: `duplicate_write_back_stagger`. */
export const DEFAULT_WRITE_BACK_STAGGER_MS = 30 * 60_000;

/** One origin that must get a copy of a new blob. */
export interface ReplicaPlan {
  /** `host:port`. */
  readonly host: string;
  /** Its write-back task waits this long: normally the receiver of the upload has written the blob back by then. */
  readonly writeBackDelayMs: number;
}

/** The owners other than `self`, in ring order, with staggered write-back delays. */
export function replicaPlan(
  owners: readonly string[],
  self: string,
  staggerMs: number = DEFAULT_WRITE_BACK_STAGGER_MS,
): readonly ReplicaPlan[] {
  return owners
    .filter((host) => host !== self)
    .map((host, index) => ({ host, writeBackDelayMs: staggerMs * (index + 1) }));
}

/**
 * Copies, this origin's included, that must exist before an upload is acknowledged: two, or one when nobody else is there.
 * @param owners healthy owners in ring order; `self` need not be one of them
 */
export function copiesNeeded(owners: readonly string[], self: string): number {
  const holders = owners.includes(self) ? owners.length : owners.length + 1;
  return Math.min(COPIES_WANTED, holders);
}

/** True when losing any single machine loses nothing that was promised. */
export function mayAcknowledge(state: { copies: number; needed: number; writtenBack: boolean }): boolean {
  return state.writtenBack || state.copies >= state.needed;
}
