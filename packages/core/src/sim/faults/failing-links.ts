/** The links of one node fail one after another, cut or slow, and come back in another order. */
import { drawNode, nodeAt, type Fault, type Injection } from './fault.js';

/** Links that fail together at most. */
const LINKS_MAX = 5;

export const failingLinks: Fault = (random, { atMs, untilMs }, options) => {
  const node = drawNode(random, options);
  const others = Array.from({ length: options.agents + options.origins }, (_, other) => other).filter(
    (other) => other !== node,
  );
  const links = random.shuffle(others).slice(0, 1 + random.below(LINKS_MAX));
  const backAs = random.shuffle(links.map((_, index) => index));
  // The first half of the time takes the links away, the second half brings them back.
  const eachMs = (untilMs - atMs) / 2 / links.length;
  return links.map((other, index): Injection => {
    const window = { atMs: atMs + index * eachMs, untilMs: untilMs - (backAs[index] ?? 0) * eachMs };
    const label = `link ${index + 1} of ${links.length}`;
    if (random.below(3) > 0) {
      return {
        ...window,
        says: `${label}: nodes ${node} and ${other} do not reach each other`,
        begin: (target) => target.network.cut(node, other),
        end: (target) => target.network.restore(node, other),
      };
    }
    const factor = 1 / (2 + random.below(50));
    return {
      ...window,
      says: `${label}: node ${other} is slow (${factor.toFixed(3)} of its rate)`,
      begin: (target) => nodeAt(target, other).slowDown(factor, target.network),
      end: (target) => nodeAt(target, other).slowDown(1, target.network),
    };
  });
};
