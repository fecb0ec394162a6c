/** An agent sends wrong bytes with the right piece sum, which only the digest of the blob shows. */
import { nodeAt, type Fault } from './fault.js';

export const forge: Fault = (random, window, options) => {
  const node = random.below(options.agents);
  const oneIn = 1 + random.below(20);
  const drawn = random.split();
  return {
    ...window,
    says: `agent ${node} forges one piece in ${oneIn}`,
    begin: (target) => {
      nodeAt(target, node).served = () => (drawn.below(oneIn) === 0 ? 'forged' : 'good');
    },
    end: (target) => {
      nodeAt(target, node).served = () => 'good';
    },
  };
};
