/** A node loses power, with what it had not synced, and comes back. */
import { drawNode, nodeAt, type Fault } from './fault.js';

export const crash: Fault = (random, window, options) => {
  const node = drawNode(random, options);
  return {
    ...window,
    says: `node ${node} is off`,
    begin: (target) => target.crash(nodeAt(target, node)),
    end: (target) => target.restart(nodeAt(target, node)),
  };
};
