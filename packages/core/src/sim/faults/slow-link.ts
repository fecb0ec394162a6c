/** A node's card runs at a fraction of its rate. */
import { drawNode, nodeAt, type Fault } from './fault.js';

export const slowLink: Fault = (random, window, options) => {
  const node = drawNode(random, options);
  const factor = 1 / (2 + random.below(50));
  return {
    ...window,
    says: `node ${node} is slow (${factor.toFixed(3)} of its rate)`,
    begin: (target) => nodeAt(target, node).slowDown(factor, target.network),
    end: (target) => nodeAt(target, node).slowDown(1, target.network),
  };
};
