/** An agent sends wrong bytes that the piece sum shows, for a share of its pieces. */
import { nodeAt, type Fault } from './fault.js';

export const corrupt: Fault = (random, window, options) => {
  const node = random.below(options.agents);
  const oneIn = 1 + random.below(4);
  const drawn = random.split();
  return {
    ...window,
    says: `agent ${node} corrupts one piece in ${oneIn}`,
    begin: (target) => {
      nodeAt(target, node).served = () => (drawn.below(oneIn) === 0 ? 'corrupt' : 'good');
    },
    end: (target) => {
      nodeAt(target, node).served = () => 'good';
    },
  };
};
