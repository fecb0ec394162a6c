/**
 * Shows steps to checkers, each step only to those that it concerns: most steps concern nobody, and a look at the type of
 * every event and effect by every checker would be an eighth of the time of a run.
 */
import type { Millis } from '../../machine/index.js';
import type { SwarmEffect, SwarmEvent } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import type { Checker } from './checker.js';

export class StepWatch {
  readonly #steppers: readonly Checker[];
  /** By type of an event or effect: whom it concerns, a bit for each checker. */
  readonly #concerned = new Map<SwarmEvent['type'] | SwarmEffect['type'], number>();
  /** Those who see every step. */
  readonly #always: number;

  /** @throws RangeError for more checkers than there are bits */
  constructor(checkers: readonly Checker[]) {
    this.#steppers = checkers.filter((checker) => checker.step !== undefined);
    if (this.#steppers.length > 31) throw new RangeError(`expected at most 31 checkers, got ${this.#steppers.length}`);
    let always = 0;
    this.#steppers.forEach(({ concerns }, i) => {
      if (concerns === undefined) always |= 1 << i;
      else for (const type of concerns) this.#concerned.set(type, (this.#concerned.get(type) ?? 0) | (1 << i));
    });
    this.#always = always;
  }

  /** One step of one machine; `effects` are about to be performed. */
  step(host: SimHost, now: Millis, event: SwarmEvent, effects: readonly SwarmEffect[]): void {
    let concerned = this.#always | (this.#concerned.get(event.type) ?? 0);
    for (const { type } of effects) concerned |= this.#concerned.get(type) ?? 0;
    for (let i = 0; concerned !== 0; i++, concerned >>>= 1)
      if ((concerned & 1) !== 0) this.#steppers[i]?.step?.(host, now, event, effects);
  }
}
