/**
 * The two 20-byte identities of the swarm, as lower-case hex strings: torrents (info hash) and peers.
 * Source: spec p2p.md §1.2, §1.3. JSON carries both as arrays of 20 integers: see `id-json.ts`.
 */
import { KrakenError } from '../errors/index.js';

declare const infoHashBrand: unique symbol;
declare const peerIdBrand: unique symbol;

/** 40 lower-case hex characters: SHA-1 of the bencoded info dictionary. */
export type InfoHash = string & { readonly [infoHashBrand]: true };
/** 40 lower-case hex characters: who a peer says it is. Ordered like its bytes. */
export type PeerId = string & { readonly [peerIdBrand]: true };

const HEX40 = /^[0-9a-fA-F]{40}$/;

/** @throws KrakenError `request-invalid` unless `text` is 40 hex characters (either case). */
export function parseInfoHash(text: string): InfoHash {
  if (text.length !== 40) {
    throw new KrakenError('request-invalid', `invalid hash: expected 40 characters, got ${text.length}`);
  }
  if (!HEX40.test(text)) throw new KrakenError('request-invalid', 'invalid hex: encoding/hex: invalid byte');
  return text.toLowerCase() as InfoHash;
}

/** @throws KrakenError `request-invalid` unless `text` is 40 hex characters (either case). */
export function parsePeerId(text: string): PeerId {
  if (!HEX40.test(text)) throw new KrakenError('request-invalid', 'peer id has invalid length or is not hex');
  return text.toLowerCase() as PeerId;
}

/** Like {@link parsePeerId}, `undefined` instead of an error. */
export function tryParsePeerId(text: string): PeerId | undefined {
  return HEX40.test(text) ? (text.toLowerCase() as PeerId) : undefined;
}
