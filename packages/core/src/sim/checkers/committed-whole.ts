/**
 * A committed blob is whole and every piece of it is right, whatever peers corrupt or forge; only a blob that has all its
 * pieces is asked to be committed; no wrong piece of a committed blob is served; a blob whose pieces are proved by a root
 * never holds a wrong one; and a machine does not delete a committed blob that nobody asked it to remove.
 */
import type { SwarmEffect } from '../../swarm/index.js';
import type { SimFile } from '../disk.js';
import type { SimHost } from '../host.js';
import type { CheckerFactory } from './checker.js';
import { ChangedHosts } from './inspection.js';

export const committedWhole: CheckerFactory = (violated) => {
  const changed = new ChangedHosts();
  const whole = (file: SimFile | undefined): boolean =>
    file !== undefined && file.have.isComplete && file.forged.size === 0;

  const asks = (host: SimHost, effect: SwarmEffect): void => {
    if (effect.type !== 'commit-blob' && effect.type !== 'delete-blob' && effect.type !== 'send-piece') return;
    const file = host.nodeState.disk.file(effect.digest);
    if (effect.type === 'commit-blob' && file?.have.isComplete !== true)
      violated('commit of a blob that lacks pieces', host);
    // Workloads remove nothing.
    if (effect.type === 'delete-blob' && file?.committed === true) violated('deletes a committed blob', host);
    if (effect.type === 'send-piece' && file?.committed === true && file.forged.has(effect.piece))
      violated(`serves the forged piece ${effect.piece} of a committed blob`, host);
  };

  return {
    concerns: ['blob-committed', 'commit-blob', 'delete-blob', 'send-piece'],
    step(host, _now, event, effects) {
      for (const effect of effects) asks(host, effect);
      if (event.type === 'blob-committed' && !whole(host.nodeState.disk.file(event.digest)))
        violated('a committed blob is not whole', host);
    },
    look(view) {
      for (const host of changed.since(view)) {
        for (const file of host.nodeState.disk.files()) {
          if (file.committed && !whole(file)) violated('a committed blob is not whole', host);
          if (file.metainfo.piecesRoot !== undefined && file.forged.size > 0)
            violated(`${file.forged.size} forged pieces of a blob with a root`, host);
        }
      }
    },
  };
};
