/** A node is stopped in good order, lets its program ask on in vain, and comes back. */
import { drawNode, nodeAt, type Fault } from './fault.js';

export const shutdown: Fault = (random, window, options) => {
  const node = drawNode(random, options);
  return {
    ...window,
    says: `node ${node} is stopped`,
    begin: (target) => nodeAt(target, node).host?.post({ type: 'shutdown-requested' }),
    end: (target) => {
      target.crash(nodeAt(target, node));
      target.restart(nodeAt(target, node));
    },
  };
};
