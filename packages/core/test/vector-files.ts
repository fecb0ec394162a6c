/** Reads recorded vectors and makes the blobs that they name by rule. */
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** The parsed file; the caller says its shape. */
export function readVectors(name: string): unknown {
  return JSON.parse(readFixture(`vectors/${name}.json`));
}

/** A file below `test/fixtures`; compiled tests lie one directory beside it. */
export function readFixture(path: string): string {
  return readFileSync(new URL(`../test/fixtures/${path}`, import.meta.url), 'utf8');
}

export interface BlobRule {
  readonly fill: 'sha256-counter' | 'zero' | 'ascii';
  readonly seed?: string;
  readonly length?: number;
  readonly text?: string;
}

/** Longest blob made so far of each seed: shorter ones are its prefixes. */
const counterBlobs = new Map<string, Uint8Array>();

export function blobOf(rule: BlobRule): Uint8Array {
  const { fill, seed = '', length = 0, text = '' } = rule;
  if (fill === 'ascii') return Buffer.from(text, 'ascii');
  if (fill === 'zero') return new Uint8Array(length);
  const known = counterBlobs.get(seed);
  if (known !== undefined && known.length >= length) return known.subarray(0, length);
  const bytes = Buffer.alloc(Math.ceil(length / 32) * 32);
  for (let at = 0, counter = 0; at < bytes.length; at += 32, counter++) {
    bytes.set(hash('sha256', `${seed}:${counter}`, 'buffer'), at);
  }
  counterBlobs.set(seed, bytes);
  return bytes.subarray(0, length);
}

export function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** The error code of what `action` throws; fails for anything but a KrakenError. */
export function codeOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    return String(error.code);
  }
  return undefined;
}
