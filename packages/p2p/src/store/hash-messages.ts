/** What the store and a hash thread tell each other. Owns only the shapes. `job` numbers are chosen by the store. */

export type HashRequest =
  /** Start a SHA-256 over the file at `path`; nothing is read before `extend`. Answered with `hashed` in the end. */
  | { readonly type: 'follow'; readonly job: number; readonly path: string }
  /** Bytes before `end` will not change any more. With `last`, the file ends there and the digest is wanted. */
  | { readonly type: 'extend'; readonly job: number; readonly end: number; readonly last: boolean }
  /** Stop a `follow`. Not answered. */
  | { readonly type: 'cancel'; readonly job: number }
  /** Hash of one piece, out of a descriptor of this process. `width`: leaves of a piece, missing ones counted. */
  | {
      readonly type: 'piece';
      readonly job: number;
      readonly fd: number;
      readonly position: number;
      readonly length: number;
      readonly width: number;
    }
  /**
   * Bytes of a piece that is hashed while it passes, in order; answered with `taken`, the last ones with `piece`. Shared
   * memory is read in place. `length` of the piece, `width` as above.
   */
  | {
      readonly type: 'bytes';
      readonly job: number;
      /** Names the piece. */
      readonly feed: number;
      readonly bytes: Uint8Array;
      readonly first: boolean;
      readonly last: boolean;
      readonly length: number;
      readonly width: number;
      /** With the first bytes: the `follow` of the blob, the first byte of the piece in it, and the hash that the piece must have. */
      readonly follow?: { readonly job: number; readonly start: number; readonly expected: Uint8Array };
    }
  /** No more bytes of a piece will come. Not answered. */
  | { readonly type: 'forget'; readonly feed: number }
  /** The root above a layer. */
  | {
      readonly type: 'root';
      readonly job: number;
      readonly layer: Uint8Array;
      readonly length: number;
      readonly pieceLength: number;
    }
  /**
   * CRC-32 of each piece of a file, and its hash where a `layer` is wanted, in one pass; with `claimed`, only of those whose
   * byte is 1. Answered with `described`.
   */
  | {
      readonly type: 'describe';
      readonly job: number;
      readonly path: string;
      readonly length: number;
      readonly pieceLength: number;
      readonly layer: boolean;
      readonly claimed?: Uint8Array;
    };

export type HashReply =
  /** SHA-256 in lower-case hex. */
  | { readonly type: 'hashed'; readonly job: number; readonly hex: string }
  | { readonly type: 'piece'; readonly job: number; readonly hash: Uint8Array }
  | { readonly type: 'taken'; readonly job: number }
  /** 64 hex characters; empty when the layer has not one hash per piece. */
  | { readonly type: 'root'; readonly job: number; readonly root: string }
  /** One sum and, where a layer was wanted, one hash per piece; 0 where none was asked for. */
  | { readonly type: 'described'; readonly job: number; readonly sums: Uint32Array; readonly layer: Uint8Array }
  /** `code` is an errno name, or `content-truncated` when the file is shorter than it should be. */
  | { readonly type: 'failed'; readonly job: number; readonly code: string | undefined; readonly says: string };
