/**
 * Every pull is answered exactly once; success means that the blob was committed, or that the pieces of the
 * range were verified; `pull-opened` comes at most once and before success.
 */
import { pieceCount, type Digest } from '../../content/index.js';
import type { SwarmEffect, SwarmEvent } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import type { CheckerFactory } from './checker.js';

interface Pull {
  readonly digest: Digest;
  readonly range: { readonly start: number; readonly end: number } | undefined;
  opened: boolean;
}

export const pullsAnsweredOnce: CheckerFactory = (violated) => {
  const open = new Map<SimHost, Map<number, Pull>>();

  const asked = (host: SimHost, event: SwarmEvent): void => {
    if (event.type !== 'pull-requested') return;
    const pulls = open.get(host) ?? new Map<number, Pull>();
    open.set(host, pulls);
    pulls.set(event.pull, { digest: event.digest, range: event.range, opened: false });
  };

  const succeeded = (host: SimHost, number: number, pull: Pull): void => {
    const file = host.nodeState.disk.file(pull.digest);
    if (!pull.opened) violated(`pull ${number} succeeded without pull-opened`, host);
    if (file === undefined) return violated(`pull ${number} succeeded, but the blob is not on the disk`, host);
    if (pull.range === undefined) {
      if (!file.committed) violated(`pull ${number} of a whole blob succeeded before its commit`, host);
      return;
    }
    const { pieceLength } = file.metainfo;
    const last = Math.min(pieceCount(file.metainfo), Math.ceil(pull.range.end / pieceLength));
    for (let piece = Math.floor(pull.range.start / pieceLength); piece < last; piece++) {
      if (!file.have.has(piece)) violated(`pull ${number} of a range succeeded without piece ${piece}`, host);
    }
  };

  const answered = (host: SimHost, effect: SwarmEffect): void => {
    if (effect.type !== 'pull-opened' && effect.type !== 'pull-finished') return;
    const pulls = open.get(host);
    const pull = pulls?.get(effect.pull);
    if (pulls === undefined || pull === undefined)
      return violated(`${effect.type} for pull ${effect.pull}, which is not open`, host);
    if (effect.type === 'pull-opened') {
      if (pull.opened) violated(`pull ${effect.pull} opened twice`, host);
      pull.opened = true;
      return;
    }
    if (effect.failure === undefined) succeeded(host, effect.pull, pull);
    pulls.delete(effect.pull);
  };

  return {
    concerns: ['pull-requested', 'pull-opened', 'pull-finished'],
    step(host, _now, event, effects) {
      asked(host, event);
      for (const effect of effects) answered(host, effect);
    },
    died(host) {
      open.delete(host);
    },
    end() {
      for (const [host, pulls] of open) {
        for (const number of pulls.keys()) violated(`pull ${number} was never answered`, host);
      }
    },
  };
};
