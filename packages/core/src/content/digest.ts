/**
 * Content names. A digest is `sha256:` + 64 lower-case hex characters, as a branded string: cheap to
 * compare, to print and to use as a map key. Source: spec p2p.md §1.1.
 *
 * Differs from Go: upper-case hex is normalised on input, so one blob has one name.
 */
import { KrakenError } from '../errors/index.js';

declare const digestBrand: unique symbol;

/** `sha256:<64 lower-case hex>`. Make one with {@link parseDigest} or {@link digestFromHex}. */
export type Digest = string & { readonly [digestBrand]: true };

const HEX64 = /^[0-9a-fA-F]{64}$/;

/**
 * Parse the full form.
 * @throws KrakenError `digest-invalid` with Go's wording.
 */
export function parseDigest(text: string): Digest {
  if (text === '') throw new KrakenError('digest-invalid', 'invalid digest: empty');
  const parts = text.split(':');
  if (parts.length !== 2) {
    throw new KrakenError('digest-invalid', "invalid digest: expected '<algo>:<hex>'");
  }
  const [algorithm, hex] = parts as [string, string];
  if (algorithm !== 'sha256') throw new KrakenError('digest-invalid', 'invalid digest algo: expected sha256');
  return digestFromHex(hex);
}

/** Like {@link parseDigest}, `undefined` instead of an error. */
export function tryParseDigest(text: string): Digest | undefined {
  return text.startsWith('sha256:') && HEX64.test(text.slice(7)) ? (text.toLowerCase() as Digest) : undefined;
}

/**
 * Parse the 64 hex characters alone (Kraken's blob *name*).
 * @throws KrakenError `digest-invalid`.
 */
export function digestFromHex(hex: string): Digest {
  if (hex.length !== 64) {
    throw new KrakenError(
      'digest-invalid',
      `invalid sha256: expected 64 characters, got ${hex.length} from ${JSON.stringify(hex.slice(0, 80))}`,
    );
  }
  if (!HEX64.test(hex)) {
    throw new KrakenError('digest-invalid', 'invalid sha256: hex: encoding/hex: invalid byte');
  }
  return `sha256:${hex.toLowerCase()}` as Digest;
}

/** The 64 hex characters: Kraken's blob name, used in file names, metainfo and handshakes. */
export function digestHex(digest: Digest): string {
  return digest.slice(7);
}

/** The first 4 hex characters: the ring key of a digest. Source: spec tracker-agent-ring.md §5.4. */
export function shardId(digest: Digest): string {
  return digest.slice(7, 11);
}
