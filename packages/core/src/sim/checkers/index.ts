/** The checkers by name. A new one is one file and one line here; every simulation can run it at once. */
import { bannedDials } from './banned-dials.js';
import { capacity } from './capacity.js';
import type { CheckerFactory } from './checker.js';
import { committedWhole } from './committed-whole.js';
import { effectsCompletedOnce } from './effects-completed-once.js';
import { noDuplicates } from './no-duplicates.js';
import { noIdling } from './no-idling.js';
import { pullsAnsweredOnce } from './pulls-answered-once.js';
import { queueLimits } from './queue-limits.js';
import { rarity } from './rarity.js';
import { requestsInBitfield } from './requests-in-bitfield.js';
import { timeMovesOn } from './time-moves-on.js';

export { CheckFailed, type Checker, type CheckerFactory, type SimView } from './checker.js';

/** All rules, by name. */
export const CHECKERS: Readonly<Record<string, CheckerFactory>> = {
  'banned-dials': bannedDials,
  capacity,
  'committed-whole': committedWhole,
  'effects-completed-once': effectsCompletedOnce,
  'no-duplicates': noDuplicates,
  'no-idling': noIdling,
  'pulls-answered-once': pullsAnsweredOnce,
  'queue-limits': queueLimits,
  rarity,
  'requests-in-bitfield': requestsInBitfield,
  'time-moves-on': timeMovesOn,
};
