/** A tracker does not answer, and has forgotten everybody when it does again. */
import type { Fault, FaultTarget } from './fault.js';

export const trackerOutage: Fault = (random, window, options) => {
  const number = random.below(options.trackers);
  const switchTo = (target: FaultTarget, isDown: boolean): void => {
    const tracker = target.trackers[number];
    if (tracker === undefined) return;
    tracker.isDown = isDown;
    tracker.forget();
  };
  return {
    ...window,
    says: `tracker ${number} is off`,
    begin: (target) => switchTo(target, true),
    end: (target) => switchTo(target, false),
  };
};
