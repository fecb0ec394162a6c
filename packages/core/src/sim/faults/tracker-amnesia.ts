/** A tracker restarts and knows nobody. */
import type { Fault } from './fault.js';

export const trackerAmnesia: Fault = (random, window, options) => {
  const tracker = random.below(options.trackers);
  return {
    ...window,
    says: `tracker ${tracker} forgets everybody`,
    begin: (target) => target.trackers[tracker]?.forget(),
    end: () => {
      // It learns again from those who announce.
    },
  };
};
