/**
 * No machine asks to be woken again and again at the instant at which it is: a real host would spin. Runs in
 * every simulation, because virtual time would stand still and the run never end.
 */
import type { SimHost } from '../host.js';
import type { CheckerFactory } from './checker.js';

/** Wake-ups of one machine at one instant. A few are legitimate: one deadline may set another that is due. */
const WAKES_MAX = 1000;

export const timeMovesOn: CheckerFactory = (violated) => {
  const wakes = new Map<SimHost, { at: number; count: number }>();
  return {
    concerns: ['woke'],
    step(host, now, event) {
      if (event.type !== 'woke') return;
      const last = wakes.get(host);
      if (last === undefined) wakes.set(host, { at: now, count: 1 });
      else if (last.at !== now) {
        last.at = now;
        last.count = 1;
      } else if (++last.count > WAKES_MAX) violated(`woken ${WAKES_MAX} times at one instant`, host);
    },
    died(host) {
      wakes.delete(host);
    },
  };
};
