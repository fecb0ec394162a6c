/**
 * How checkers look at machines without looking at everything every time: one view per host and step, shared by
 * all checkers, and the question whether a host took a step since the last look.
 */
import type { SwarmView } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import type { SimView } from './checker.js';

const views = new WeakMap<SimHost, { steps: number; view: SwarmView }>();

/** What the machine of a host says about itself. A machine changes in its steps only, so the view is good until the next. */
export function inspect(host: SimHost): SwarmView {
  const known = views.get(host);
  if (known?.steps === host.steps) return known.view;
  const view = host.machine.inspect();
  views.set(host, { steps: host.steps, view });
  return view;
}

/** The hosts of a simulation that took a step since one checker looked last. */
export class ChangedHosts {
  readonly #seen = new WeakMap<SimHost, number>();

  *since(view: SimView): Generator<SimHost, void> {
    for (const { host } of view.nodes) {
      if (host === undefined || this.#seen.get(host) === host.steps) continue;
      this.#seen.set(host, host.steps);
      yield host;
    }
  }
}
