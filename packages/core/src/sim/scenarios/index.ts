/** The scenarios by name. A new one is one file and one line here. */
import { late } from './late.js';
import { manySmall } from './many-small.js';
import { scale } from './scale.js';
import type { Scenario } from './scenario.js';
import { sparing } from './sparing.js';
import { uber260, uber2600 } from './uber.js';

export type { Scenario } from './scenario.js';

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  late,
  'many-small': manySmall,
  scale,
  sparing,
  'uber-260': uber260,
  'uber-2600': uber2600,
};
