/** The announces of one torrent as effects: what is due, and the goodbye. The queue says when. Source: spec p2p.md §4.4. */
import type { SwarmContext } from './context.js';
import type { SwarmEffect } from './events.js';
import type { Torrent } from './torrent.js';

/** Announce, if it is due. */
export function announce(context: SwarmContext, torrent: Torrent): void {
  const effect = torrent.isOpen ? announceOf(torrent) : undefined;
  if (effect !== undefined && context.announces.take(torrent.digest)) context.out.push(effect);
}

/** The announce that says that we leave. @returns false when the tracker does not know us or an announce is under way */
export function sayGoodbye(context: SwarmContext, torrent: Torrent): boolean {
  const effect = announceOf(torrent);
  if (effect === undefined || !context.announces.takeStopped(torrent.digest)) return false;
  context.out.push({ ...effect, event: 'stopped' });
  return true;
}

function announceOf(torrent: Torrent): Extract<SwarmEffect, { type: 'announce' }> | undefined {
  const { namespace, digest, metainfo } = torrent;
  if (metainfo === undefined) return undefined;
  const complete = torrent.state === 'seeding';
  return { type: 'announce', namespace, digest, infoHash: metainfo.infoHash, complete };
}
