/** The kinds of faults by name, and the plan of a run. */
import type { Random } from '../../random/index.js';
import type { SimOptions } from '../options.js';
import { corrupt } from './corrupt.js';
import { crash } from './crash.js';
import { cutLink } from './cut-link.js';
import { diskFull } from './disk-full.js';
import type { Fault, PlannedFault } from './fault.js';
import { failingLinks } from './failing-links.js';
import { forge } from './forge.js';
import { originLoss } from './origin-loss.js';
import { shutdown } from './shutdown.js';
import { slowLink } from './slow-link.js';
import { stall } from './stall.js';
import { trackerAmnesia } from './tracker-amnesia.js';
import { trackerOutage } from './tracker-outage.js';

export type { Fault, FaultTarget, Injection, PlannedFault, Window } from './fault.js';

/** All kinds, by name. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  corrupt,
  crash,
  'cut-link': cutLink,
  'disk-full': diskFull,
  'failing-links': failingLinks,
  forge,
  'origin-loss': originLoss,
  shutdown,
  'slow-link': slowLink,
  stall,
  'tracker-amnesia': trackerAmnesia,
  'tracker-outage': trackerOutage,
};

/** Draw `options.faults` faults of the allowed kinds into the safety phase, in the order of their beginning. */
export function drawFaults(random: Random, options: SimOptions): PlannedFault[] {
  const kinds = options.faultKinds.map((kind): [string, Fault] => {
    const fault = FAULTS[kind];
    if (fault === undefined)
      throw new RangeError(`fault expected one of ${Object.keys(FAULTS).join(', ')}, got ${kind}`);
    return [kind, fault];
  });
  const drawn: PlannedFault[] = [];
  for (let i = 0; i < options.faults && kinds.length > 0; i++) {
    const [kind, fault] = kinds[random.below(kinds.length)] as [string, Fault];
    const atMs = random.unit() * options.faultMs;
    const untilMs = atMs + random.unit() * (options.faultMs - atMs);
    const injections = [fault(random, { atMs, untilMs }, options)].flat();
    if (options.faultsLeftOut.includes(i)) continue;
    for (const injection of injections) drawn.push({ ...injection, kind });
  }
  return drawn.sort((a, b) => a.atMs - b.atMs);
}
