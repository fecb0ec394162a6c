/** Cancellation that `AbortSignal` satisfies; core has no DOM or Node types. */
export interface CancelSignal {
  readonly aborted: boolean;
  readonly reason?: unknown;
  /** Be told once, when it is aborted; not when it is aborted already. */
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void;
  /** Take back what `addEventListener` asked for. */
  removeEventListener(type: 'abort', listener: () => void): void;
}
