/** The scenarios by name. A new one is one file and one line here. */
import { cold } from './cold.js';
import { late } from './late.js';
import { manySmall } from './many-small.js';
import { parity } from './parity.js';
import { peak, peak100 } from './peak.js';
import { scale } from './scale.js';
import { SCENARIO_CHECKERS, type Scenario } from './scenario.js';
import { sparing } from './sparing.js';
import { staggered } from './staggered.js';
import { uber260, uber2600 } from './uber.js';

export type { Scenario } from './scenario.js';

const scenarios: Readonly<Record<string, Scenario>> = {
  cold,
  late,
  'many-small': manySmall,
  parity,
  peak,
  'peak-100': peak100,
  scale,
  sparing,
  staggered,
  'uber-260': uber260,
  'uber-2600': uber2600,
};

const checked = (scenario: Scenario): Scenario => ({
  ...scenario,
  runs: scenario.runs.map((run) => ({ checkers: SCENARIO_CHECKERS, ...run })),
});

/** All scenarios, by name. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = Object.fromEntries(
  Object.entries(scenarios).map(([name, scenario]) => [name, checked(scenario)]),
);
