/** How a node gets its peer id. Source: spec p2p.md §1.3. The `random` factory needs a random source: the host has it. */
import { sha1 } from '@noble/hashes/legacy.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { KrakenError } from '../errors/index.js';
import type { PeerId } from './ids.js';

/** Values of `peer_id_factory`. */
export type PeerIdFactory = 'addr_hash' | 'random';

/** @throws KrakenError `config-invalid` with Go's wording */
export function parsePeerIdFactory(text: string): PeerIdFactory {
  if (text !== 'addr_hash' && text !== 'random') {
    throw new KrakenError('config-invalid', `invalid peer id factory: ${JSON.stringify(text)}`);
  }
  return text;
}

/**
 * The id of the announced address: the same after every restart.
 * @param ip as configured: no brackets added, case kept, host names allowed
 * @throws KrakenError `config-invalid` for an empty address or port 0
 */
export function addrHashPeerId(ip: string, port: number): PeerId {
  if (ip === '') throw new KrakenError('config-invalid', 'no ip supplied');
  if (port === 0) throw new KrakenError('config-invalid', 'no port supplied');
  return bytesToHex(sha1(utf8ToBytes(`${ip}:${port}`))) as PeerId;
}
