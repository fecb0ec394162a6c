/** Peers and node identities in JSON, byte for byte as Go writes them. Source: spec p2p.md §1.4, §1.5. */
import { asObject, getBoolean, getField, getInteger, getString } from './go-json-fields.js';
import { goJsonString, type GoJson, type GoJsonObject } from './go-json.js';
import { idToJsonText, peerIdFromJson } from './id-json.js';
import type { PeerId } from './ids.js';
import type { PeerContext, PeerInfo } from './peer.js';

/** The JSON text of a peer. */
export function peerInfoToJson(peer: PeerInfo): string {
  return (
    `{"peer_id":${idToJsonText(peer.peerId)},"ip":${goJsonString(peer.ip)},"port":${peer.port},` +
    `"origin":${peer.origin},"complete":${peer.complete}}`
  );
}

/**
 * A peer from JSON. Absent fields are zero, as in Go: check the values.
 * @throws KrakenError `request-invalid` when a field has the wrong type
 */
export function peerInfoFromJson(value: GoJson): PeerInfo {
  const object = asObject(value, 'peer');
  return {
    peerId: peerIdField(object),
    ip: getString(object, 'ip'),
    port: getInteger(object, 'port'),
    origin: getBoolean(object, 'origin'),
    complete: getBoolean(object, 'complete'),
  };
}

/** The JSON text of a node identity. */
export function peerContextToJson(context: PeerContext): string {
  return (
    `{"ip":${goJsonString(context.ip)},"port":${context.port},"peer_id":${idToJsonText(context.peerId)},` +
    `"zone":${goJsonString(context.zone)},"cluster":${goJsonString(context.cluster)},"origin":${context.origin}}`
  );
}

/**
 * A node identity from JSON. Absent fields are zero, as in Go: check the values.
 * @throws KrakenError `request-invalid` when a field has the wrong type
 */
export function peerContextFromJson(value: GoJson): PeerContext {
  const object = asObject(value, 'peer context');
  return {
    ip: getString(object, 'ip'),
    port: getInteger(object, 'port'),
    peerId: peerIdField(object),
    zone: getString(object, 'zone'),
    cluster: getString(object, 'cluster'),
    origin: getBoolean(object, 'origin'),
  };
}

function peerIdField(object: GoJsonObject): PeerId {
  return peerIdFromJson(getField(object, 'peer_id') ?? null);
}
