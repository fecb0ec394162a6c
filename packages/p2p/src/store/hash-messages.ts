/** What the store and its hash worker tell each other. Owns only the shapes. `job` numbers are chosen by the store. */

export type HashRequest =
  /** Start a SHA-256 over the file at `path`; nothing is read before `extend`. */
  | { readonly type: 'follow'; readonly job: number; readonly path: string }
  /** Bytes before `end` will not change any more. With `last`, the file ends there and the digest is wanted. */
  | { readonly type: 'extend'; readonly job: number; readonly end: number; readonly last: boolean }
  /** CRC-32 of the pieces of a file; with `claimed`, only of those whose byte is 1. */
  | {
      readonly type: 'sum';
      readonly job: number;
      readonly path: string;
      readonly length: number;
      readonly pieceLength: number;
      readonly claimed?: Uint8Array;
    }
  | { readonly type: 'cancel'; readonly job: number };

export type HashReply =
  /** SHA-256 in lower-case hex. */
  | { readonly type: 'hashed'; readonly job: number; readonly hex: string }
  /** One sum per piece; 0 where none was asked for. */
  | { readonly type: 'summed'; readonly job: number; readonly sums: Uint32Array }
  /** `code` is an errno name, or `content-truncated` when the file is shorter than it should be. */
  | { readonly type: 'failed'; readonly job: number; readonly code: string | undefined; readonly says: string };
