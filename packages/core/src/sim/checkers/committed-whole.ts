/** A committed blob is whole, every piece is right, and only a blob that was asked to be committed is. */
import type { SimFile } from '../disk.js';
import type { CheckerFactory } from './checker.js';

export const committedWhole: CheckerFactory = (violated) => {
  const whole = (file: SimFile | undefined): boolean =>
    file !== undefined && file.have.isComplete && file.forged.size === 0;
  return {
    step(host, _now, event, effects) {
      for (const effect of effects) {
        if (effect.type === 'commit-blob' && host.nodeState.disk.file(effect.digest)?.have.isComplete !== true) {
          violated('commit of a blob that lacks pieces', host);
        }
      }
      if (event.type === 'blob-committed' && !whole(host.nodeState.disk.file(event.digest)))
        violated('a committed blob is not whole', host);
    },
    look(view) {
      for (const { disk, host } of view.nodes) {
        for (const file of disk.files())
          if (file.committed && !whole(file)) violated('a committed blob is not whole', host);
      }
    },
  };
};
