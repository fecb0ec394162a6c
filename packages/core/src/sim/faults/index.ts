/** The kinds of faults by name, and the plan of a run. */
import type { Random } from '../../random/index.js';
import type { SimOptions } from '../options.js';
import { corrupt } from './corrupt.js';
import { crash } from './crash.js';
import { cutLink } from './cut-link.js';
import { diskFull } from './disk-full.js';
import type { Fault, Injection } from './fault.js';
import { forge } from './forge.js';
import { originLoss } from './origin-loss.js';
import { slowLink } from './slow-link.js';
import { stall } from './stall.js';
import { trackerAmnesia } from './tracker-amnesia.js';
import { trackerOutage } from './tracker-outage.js';

export type { Fault, FaultTarget, Injection, Window } from './fault.js';

export const FAULTS: Readonly<Record<string, Fault>> = {
  corrupt,
  crash,
  'cut-link': cutLink,
  'disk-full': diskFull,
  forge,
  'origin-loss': originLoss,
  'slow-link': slowLink,
  stall,
  'tracker-amnesia': trackerAmnesia,
  'tracker-outage': trackerOutage,
};

/** Draw `options.faults` faults of the allowed kinds into the safety phase, in the order of their beginning. */
export function drawFaults(random: Random, options: SimOptions): Injection[] {
  const kinds = options.faultKinds.map((name) => {
    const fault = FAULTS[name];
    if (fault === undefined)
      throw new RangeError(`fault expected one of ${Object.keys(FAULTS).join(', ')}, got ${name}`);
    return fault;
  });
  const drawn: Injection[] = [];
  for (let i = 0; i < options.faults && kinds.length > 0; i++) {
    const fault = kinds[random.below(kinds.length)] as Fault;
    const atMs = random.unit() * options.faultMs;
    const untilMs = atMs + random.unit() * (options.faultMs - atMs);
    drawn.push(fault(random, { atMs, untilMs }, options));
  }
  return drawn.sort((a, b) => a.atMs - b.atMs);
}
