/**
 * Announces in JSON, byte for byte as Kraken's client and tracker write them, and read as tolerantly as Go reads them.
 * Source: spec tracker-agent-ring.md §0.1, §1.3, §1.4.
 *
 * Our one extension is the key `event` behind the known ones. A Go tracker drops it and records the peer once more.
 * Differs from Go: an announce that nobody could dial (no address, no such port) is refused instead of recorded.
 */
import {
  asObject,
  digestFromHex,
  digestHex,
  getArray,
  getField,
  getInteger,
  getObject,
  getString,
  idToJsonText,
  infoHashFromJson,
  parseDigest,
  parseGoJson,
  peerInfoFromJson,
  peerInfoToJson,
  type Digest,
  type GoJsonObject,
  type InfoHash,
  type PeerId,
  type PeerInfo,
} from '../content/index.js';
import { KrakenError } from '../errors/index.js';
import type { AnnounceAnswer, AnnounceRequest } from '../ports/index.js';
import { detached } from '../content/detached.js';
import { RecordedPeer } from './recorded-peer.js';

const NS_PER_MS = 1e6;
/** Longest host name (RFC 1035) is 253 characters. */
const HOST_LENGTH_MAX = 255;
const PORT_MAX = 65_535;

/** What a tracker reads from the body of an announce. */
export interface DecodedAnnounce {
  readonly digest: Digest;
  /** Of the body; v2 requests name theirs in the path and this one is ignored. Zeros when absent. */
  readonly infoHash: InfoHash;
  readonly peer: PeerInfo;
  readonly event?: 'stopped';
}

/** The body of an announce, v1 and v2. */
export function encodeAnnounceRequest(request: Omit<AnnounceRequest, 'namespace'>): string {
  const { digest, infoHash, peer, event } = request;
  const known =
    `"name":"${digestHex(digest)}","digest":"${digest}",` +
    `"info_hash":${idToJsonText(infoHash)},"peer":${peerInfoToJson(peer)}`;
  return event === undefined ? `{${known}}` : `{${known},"event":"${event}"}`;
}

/**
 * Reads the body of an announce. What follows the first value is ignored, as in Go.
 * @throws KrakenError `request-invalid` with the texts of Kraken's tracker where it has one
 */
export function decodeAnnounceRequest(text: string): DecodedAnnounce {
  return decodeUsual(text) ?? decodeAny(text);
}

/** An announce exactly as Kraken's clients and ours spell it, but for what follows. */
const USUAL =
  /^\{"name":"[0-9a-f]{64}","digest":"(sha256:[0-9a-f]{64})","info_hash":\[([0-9,]{39,79})\],"peer":\{"peer_id":\[([0-9,]{39,79})\],"ip":"([0-9A-Za-z.:-]{1,255})","port":([1-9][0-9]{0,4}),"origin":(true|false),"complete":(true|false)\}(?:,"event":"(stopped)")?\}/;

/** Nearly all announces are spelled one way, and a tracker does little else than read them. */
function decodeUsual(text: string): DecodedAnnounce | undefined {
  const [, digest, infoHashText, peerIdText, ip, portText, origin, complete, event] = USUAL.exec(text) ?? [];
  if (digest === undefined || infoHashText === undefined || peerIdText === undefined || ip === undefined)
    return undefined;
  const infoHash = usualId(infoHashText);
  const peerId = usualId(peerIdText);
  const port = Number(portText);
  if (infoHash === undefined || peerId === undefined || port > PORT_MAX) return undefined;
  const peer = { peerId: peerId as PeerId, ip, port, origin: origin === 'true', complete: complete === 'true' };
  const decoded = { digest: detached(digest as Digest), infoHash: infoHash as InfoHash, peer };
  return event === 'stopped' ? { ...decoded, event } : decoded;
}

const HEX_DIGITS = '0123456789abcdef';
const ID_BYTES = 20;
const COMMA = 0x2c;
const ZERO = 0x30;

/** Hex of `66,197,…`, twenty bytes in decimal without needless zeros; `undefined` for anything else. */
function usualId(text: string): string | undefined {
  // Made at once: twenty additions would leave a tree of strings behind.
  const hex: number[] = [];
  let bytes = 0;
  let value = 0;
  let digits = 0;
  for (let at = 0; at <= text.length; at++) {
    const unit = at === text.length ? COMMA : text.charCodeAt(at);
    if (unit !== COMMA) {
      if (digits > 0 && value === 0) return undefined;
      value = value * 10 + unit - ZERO;
      digits++;
      continue;
    }
    if (digits === 0 || value > 255 || bytes === ID_BYTES) return undefined;
    hex.push(HEX_DIGITS.charCodeAt(value >>> 4), HEX_DIGITS.charCodeAt(value & 15));
    bytes++;
    value = 0;
    digits = 0;
  }
  return bytes === ID_BYTES ? String.fromCharCode(...hex) : undefined;
}

function decodeAny(text: string): DecodedAnnounce {
  const { object, digestField, infoHash, peer } = prefixed('json decode request: ', () => {
    const decoded = asObject(parseGoJson(text, { allowTrailing: true }), 'announce');
    return {
      object: decoded,
      digestField: getDigest(decoded),
      infoHash: infoHashFromJson(getField(decoded, 'info_hash') ?? null),
      peer: getPeer(decoded),
    };
  });
  const digest = detached(
    digestField ?? prefixed('get request digest: ', () => digestFromHex(getString(object, 'name'))),
  );
  // A value that we do not know is some later version's hint, not a mistake.
  const event = getField(object, 'event');
  return event === 'stopped' ? { digest, infoHash, peer, event } : { digest, infoHash, peer };
}

/**
 * The body of an answer, with the newline that Go's encoder appends.
 * @param peers `undefined` for an announcer that gets none: `null` in JSON
 */
export function encodeAnnounceResponse(peers: readonly PeerInfo[] | undefined, intervalMs: number): string {
  const end = `,"interval":${Math.round(intervalMs * NS_PER_MS)}}\n`;
  if (peers === undefined) return `{"peers":null${end}`;
  if (peers.length === 0) return `{"peers":[]${end}`;
  // Joined once, head and tail included: an engine copies such an answer again for each part that is added to it.
  const parts = peers.map(peerText);
  parts[0] = `{"peers":[${parts[0] ?? ''}`;
  parts.push(`${parts.pop() ?? ''}]${end}`);
  return parts.join(',');
}

/**
 * Reads an answer. Peers are as the tracker sent them (`null` entries left out): whether they can be dialled is
 * {@link isDialable}. The interval may be 0 or negative.
 * @throws KrakenError `request-invalid`
 */
export function decodeAnnounceResponse(text: string): AnnounceAnswer {
  const object = asObject(parseGoJson(text, { allowTrailing: true }), 'announce answer');
  const peers: PeerInfo[] = [];
  for (const value of getArray(object, 'peers')) if (value !== null) peers.push(peerInfoFromJson(value));
  return { peers, intervalMs: getInteger(object, 'interval') / NS_PER_MS };
}

/** Whether a peer has an address that one can try to connect to. */
export function isDialable(peer: PeerInfo): boolean {
  return peer.ip !== '' && peer.ip.length <= HOST_LENGTH_MAX && peer.port >= 1 && peer.port <= PORT_MAX;
}

function peerText(peer: PeerInfo): string {
  return peer instanceof RecordedPeer ? peer.text : peerInfoToJson(peer);
}

function getDigest(object: GoJsonObject): Digest | undefined {
  const value = getField(object, 'digest');
  if (value === undefined) return undefined;
  return parseDigest(getString(object, 'digest'));
}

function getPeer(object: GoJsonObject): PeerInfo {
  if (getField(object, 'peer') === undefined) throw new KrakenError('request-invalid', 'peer is required');
  const peer = peerInfoFromJson(getObject(object, 'peer'));
  if (!isDialable(peer)) {
    throw new KrakenError(
      'request-invalid',
      `peer expected ip of 1..${HOST_LENGTH_MAX} characters and port 1..${PORT_MAX}, ` +
        `got ip of ${peer.ip.length} characters and port ${peer.port}`,
    );
  }
  return peer;
}

function prefixed<T>(prefix: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new KrakenError('request-invalid', prefix + message, { cause: error });
  }
}
