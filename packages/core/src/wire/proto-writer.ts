/**
 * Writes one frame with protobuf fields into one buffer of the right size: callers first add up lengths with
 * the `…Length` functions, then write. Zero numbers and empty strings are left out, as Go does.
 * Source: spec p2p.md §2.1, §2.2.
 */
import { utf8Length, writeUtf8 } from '../content/index.js';
import { checkFrameLength, FRAME_HEADER_BYTES } from './frame.js';
import { WIRE_TYPE } from './schema.js';

const INT32_MAX = 2 ** 31 - 1;

/** A frame under construction. All field numbers are below 16, so every tag is one byte. */
export class FrameWriter {
  /** The whole frame, length included. */
  readonly bytes: Uint8Array;
  #at = FRAME_HEADER_BYTES;

  /** @throws KrakenError `frame-too-large` before anything is allocated */
  constructor(bodyLength: number) {
    checkFrameLength(bodyLength);
    this.bytes = new Uint8Array(FRAME_HEADER_BYTES + bodyLength);
    this.bytes[2] = bodyLength >>> 8;
    this.bytes[3] = bodyLength & 0xff;
  }

  /** A number field; nothing for 0. */
  int32Field(field: number, value: number): void {
    if (value === 0) return;
    this.bytes[this.#at++] = (field << 3) | WIRE_TYPE.varint;
    this.#varint(value);
  }

  /** A string field; nothing for ''. */
  stringField(field: number, text: string): void {
    if (text === '') return;
    this.lengthDelimited(field, utf8Length(text));
    this.#at = writeUtf8(text, this.bytes, this.#at);
  }

  /** Tag and length of a submessage or bytes field; its content follows by further calls. */
  lengthDelimited(field: number, length: number): void {
    this.bytes[this.#at++] = (field << 3) | WIRE_TYPE.bytes;
    this.#varint(length);
  }

  /** Lets `write` put raw bytes at the current position; it returns the position behind them. */
  raw(write: (target: Uint8Array, at: number) => number): void {
    this.#at = write(this.bytes, this.#at);
  }

  #varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.bytes[this.#at++] = 0x80 | (rest & 0x7f);
      rest >>>= 7;
    }
    this.bytes[this.#at++] = rest;
  }
}

/** Bytes of a varint. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest > 0x7f; rest >>>= 7) length++;
  return length;
}

/**
 * Bytes of a number field.
 * @throws RangeError unless `value` is 0..2^31-1: a negative number on the wire ends a Go process
 */
export function int32FieldLength(value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > INT32_MAX) {
    throw new RangeError(`wire number expected 0..${INT32_MAX}, got ${value}`);
  }
  return value === 0 ? 0 : 1 + varintLength(value);
}

/** Bytes of a string field. */
export function stringFieldLength(text: string): number {
  return text === '' ? 0 : lengthDelimitedLength(utf8Length(text));
}

/** Bytes of a submessage or bytes field with `length` bytes of content. */
export function lengthDelimitedLength(length: number): number {
  return 1 + varintLength(length) + length;
}
