/** An origin is gone until the end of the safety phase. */
import { nodeAt, type Fault } from './fault.js';

export const originLoss: Fault = (random, { atMs }, options) => {
  const node = options.agents + random.below(options.origins);
  return {
    atMs,
    untilMs: options.faultMs,
    says: `origin ${node} is lost`,
    begin: (target) => target.crash(nodeAt(target, node)),
    end: (target) => target.restart(nodeAt(target, node)),
  };
};
