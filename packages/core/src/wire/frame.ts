/**
 * Cuts a byte stream into frames: a 4-byte big-endian length, then that many bytes. Source: spec p2p.md §2.1.
 * Owns the bytes of a frame that came in parts. Never looks into a frame and never sees payload bytes: the
 * caller stops feeding behind a payload header.
 */
import { KrakenError } from '../errors/index.js';

/** Longest body that is sent or accepted, in bytes (Kraken). Payloads do not count. */
export const FRAME_LENGTH_MAX = 32768;

/** Bytes of the length before each body. */
export const FRAME_HEADER_BYTES = 4;

/** What {@link FrameDecoder.next} took from the chunk. */
export interface FrameStep {
  /** Bytes used, up to and including the end of one frame at most. */
  readonly consumed: number;
  /** The frame's body, once it is complete. A view of the chunk, or of a buffer that the next call drops. */
  readonly body?: Uint8Array;
}

/** @throws KrakenError `frame-too-large` */
export function checkFrameLength(length: number): void {
  if (length > FRAME_LENGTH_MAX) {
    throw new KrakenError('frame-too-large', `message exceeds max size: ${length} > ${FRAME_LENGTH_MAX}`);
  }
}

/** An incremental frame reader for one connection. After it has thrown, the stream is lost: close the connection. */
export class FrameDecoder {
  /** Bytes of the length that have come, 0–4. */
  #headerBytes = 0;
  #length = 0;
  /** Bytes of the body that have come. */
  #bodyBytes = 0;
  /** The body of a frame that does not lie whole in one chunk; at most {@link FRAME_LENGTH_MAX} bytes. */
  #buffer: Uint8Array | undefined;

  /** True between the first byte and the last byte of a frame. End of stream there is an ordinary close. */
  get midFrame(): boolean {
    return this.#headerBytes > 0;
  }

  /**
   * Takes bytes from `data[at..]`, at most to the end of one frame. Call again with `at + consumed` while
   * bytes are left.
   * @throws KrakenError `frame-too-large` as soon as the length has come
   */
  next(data: Uint8Array, at: number): FrameStep {
    let from = at;
    while (this.#headerBytes < FRAME_HEADER_BYTES) {
      if (from === data.length) return { consumed: from - at };
      this.#length = ((this.#length << 8) | (data[from++] as number)) >>> 0;
      if (++this.#headerBytes === FRAME_HEADER_BYTES) checkFrameLength(this.#length);
    }
    const wanted = this.#length - this.#bodyBytes;
    const to = Math.min(data.length, from + wanted);
    if (this.#bodyBytes === 0 && to - from === wanted) {
      this.#reset();
      return { consumed: to - at, body: data.subarray(from, to) };
    }
    if (to > from) {
      this.#buffer ??= new Uint8Array(this.#length);
      this.#buffer.set(data.subarray(from, to), this.#bodyBytes);
      this.#bodyBytes += to - from;
    }
    const buffer = this.#buffer;
    if (buffer === undefined || this.#bodyBytes < this.#length) return { consumed: to - at };
    this.#reset();
    return { consumed: to - at, body: buffer };
  }

  #reset(): void {
    this.#headerBytes = 0;
    this.#length = 0;
    this.#bodyBytes = 0;
    this.#buffer = undefined;
  }
}
