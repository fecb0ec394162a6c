/** An agent's disk takes no more bytes for a while. */
import { nodeAt, type Fault } from './fault.js';

export const diskFull: Fault = (random, window, options) => {
  const node = random.below(options.agents);
  return {
    ...window,
    says: `the disk of agent ${node} is full`,
    begin: (target) => nodeAt(target, node).disk.setCapacity(0),
    end: (target) => nodeAt(target, node).disk.setCapacity(options.diskCapacityBytes),
  };
};
