// The swarms of the tracker measurement: so many torrents with so many peers, and their announces.
import { createHash } from 'node:crypto';

export const TORRENTS = 10_000;
export const PEERS = 50;

const hex = (algorithm, text) => createHash(algorithm).update(text).digest('hex');

export function infoHashOf(torrent) {
  return hex('sha1', `torrent ${torrent}`);
}

/** As a client of Kraken's writes it. */
export function announceBody(torrent, peer) {
  const name = hex('sha256', `blob ${torrent}`);
  const bytes = (text) => `[${[...Buffer.from(text, 'hex')].join(',')}]`;
  const host = (torrent * 7 + peer) % 15_000;
  const ip = `10.${host >> 16}.${(host >> 8) & 255}.${host & 255}`;
  const peerId = hex('sha1', `${ip}:16001`);
  return (
    `{"name":"${name}","digest":"sha256:${name}","info_hash":${bytes(infoHashOf(torrent))},` +
    `"peer":{"peer_id":${bytes(peerId)},"ip":"${ip}","port":16001,"origin":false,"complete":${peer % 3 === 0}}}`
  );
}
