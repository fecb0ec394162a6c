/** A node takes requests and sends no payload. */
import { drawNode, nodeAt, type Fault } from './fault.js';

export const stall: Fault = (random, window, options) => {
  const node = drawNode(random, options);
  return {
    ...window,
    says: `node ${node} sends no payload`,
    begin: (target) => nodeAt(target, node).stall(true),
    end: (target) => nodeAt(target, node).stall(false),
  };
};
