/** Reads recorded vectors and makes the blobs that they name by rule. */
import { createHash } from 'node:crypto';
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

export function blobOf(rule: BlobRule): Uint8Array {
  if (rule.fill === 'ascii') return Buffer.from(rule.text ?? '', 'ascii');
  const bytes = Buffer.alloc(rule.length ?? 0);
  if (rule.fill === 'zero') return bytes;
  for (let at = 0, counter = 0; at < bytes.length; at += 32, counter++) {
    createHash('sha256').update(`${rule.seed}:${counter}`).digest().copy(bytes, at);
  }
  return bytes;
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
