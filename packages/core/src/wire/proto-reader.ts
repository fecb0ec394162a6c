/**
 * Reads protobuf primitives from one range of bytes, with the rules of Go's decoder: 64-bit varints of up to
 * ten bytes cut to int32, unknown fields and groups skipped, strict UTF-8. Allocates nothing but strings.
 * Written by hand because the ready-made reader makes an object per tag and rejects what Go accepts.
 * Source: spec p2p.md §2.2 and the recorded decoder cases.
 */
import { readUtf8 } from '../content/index.js';
import { KrakenError } from '../errors/index.js';
import { WIRE_TYPE } from './schema.js';

const VARINT_BYTES_MAX = 10;
const FIELD_NUMBER_MAX = 2 ** 29 - 1;

/** A cursor over `bytes`. Every read throws KrakenError `frame-malformed` when the bytes do not allow it. */
export class ProtoReader {
  readonly bytes: Uint8Array;
  /** Position of the next read. */
  at = 0;
  /** Field number of the last tag. */
  field = 0;
  /** Wire type of the last tag. */
  wireType = 0;
  /** Upper 32 bits of the last varint. */
  #high = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Reads the next tag into `field` and `wireType`; false at `end`. */
  nextField(end: number): boolean {
    if (this.at >= end) return false;
    const low = this.#varint(end);
    // Tags are 64-bit varints too: a field number over 2^29-1 is an error, not a truncated number.
    const number = this.#high * 2 ** 29 + (low >>> 3);
    if (number < 1 || number > FIELD_NUMBER_MAX) throw malformed(`field number ${number}`);
    this.field = number;
    this.wireType = low & 7;
    return true;
  }

  /** A varint cut to int32, as Go reads int32 and enum fields. */
  int32(end: number): number {
    return this.#varint(end) | 0;
  }

  /** Reads a length and checks that so many bytes follow. @returns the position behind them */
  lengthDelimitedEnd(end: number): number {
    const length = this.#varint(end);
    if (this.#high !== 0 || length > end - this.at) throw malformed('length beyond the end');
    return this.at + length;
  }

  /** A string field's value. */
  string(end: number): string {
    const stop = this.lengthDelimitedEnd(end);
    const text = readUtf8(this.bytes, this.at, stop);
    if (text === undefined) throw malformed('string field contains invalid UTF-8');
    this.at = stop;
    return text;
  }

  /** A bytes field's value, as a view. */
  view(end: number): Uint8Array {
    const stop = this.lengthDelimitedEnd(end);
    const view = this.bytes.subarray(this.at, stop);
    this.at = stop;
    return view;
  }

  /** Skips the value of the last tag, with all nested groups. */
  skip(end: number): void {
    if (this.wireType === WIRE_TYPE.startGroup) this.#skipGroup(end);
    else this.#skipValue(end);
  }

  #skipGroup(end: number): void {
    // A list, not recursion: a frame can nest 16,000 groups.
    const open = [this.field];
    while (open.length > 0) {
      if (!this.nextField(end)) throw malformed('group without end');
      if (this.wireType === WIRE_TYPE.startGroup) {
        open.push(this.field);
      } else if (this.wireType === WIRE_TYPE.endGroup) {
        if (open.pop() !== this.field) throw malformed('group ends with another number');
      } else {
        this.#skipValue(end);
      }
    }
  }

  #skipValue(end: number): void {
    switch (this.wireType) {
      case WIRE_TYPE.varint:
        this.#varint(end);
        return;
      case WIRE_TYPE.fixed64:
        this.#advance(8, end);
        return;
      case WIRE_TYPE.bytes:
        this.at = this.lengthDelimitedEnd(end);
        return;
      case WIRE_TYPE.fixed32:
        this.#advance(4, end);
        return;
      default:
        throw malformed(`wire type ${this.wireType}`);
    }
  }

  #advance(count: number, end: number): void {
    if (end - this.at < count) throw malformed('value beyond the end');
    this.at += count;
  }

  /** @returns the lower 32 bits, unsigned; the upper ones are left in #high */
  #varint(end: number): number {
    let low = 0;
    let high = 0;
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      if (this.at >= end) throw malformed('varint beyond the end');
      const byte = this.bytes[this.at++] as number;
      const bits = byte & 0x7f;
      if (i < 5) low |= bits << (7 * i);
      if (i === 4) high = bits >>> 4;
      else if (i > 4) high |= bits << (7 * i - 32);
      if (byte < 0x80) {
        if (i === VARINT_BYTES_MAX - 1 && byte > 1) break;
        this.#high = high >>> 0;
        return low >>> 0;
      }
    }
    throw malformed('varint over 64 bits');
  }
}

function malformed(what: string): KrakenError {
  return new KrakenError('frame-malformed', `cannot parse protobuf: ${what}`);
}
