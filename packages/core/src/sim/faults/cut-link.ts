/** Nothing passes between two nodes; their connections break without a word. */
import { drawPair, type Fault } from './fault.js';

export const cutLink: Fault = (random, window, options) => {
  const [a, b] = drawPair(random, options);
  return {
    ...window,
    says: `nodes ${a} and ${b} do not reach each other`,
    begin: (target) => target.network.cut(a, b),
    end: (target) => target.network.restore(a, b),
  };
};
