/**
 * What a checker is: it watches a simulation from outside and reports what must never be. It sees each
 * step of each machine that concerns it, everything at intervals, and the end. It keeps its own books and changes nothing.
 */
import type { Millis } from '../../machine/index.js';
import type { SwarmEffect, SwarmEvent } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import type { SimNode } from '../node.js';
import type { SimOptions } from '../options.js';

/** What checkers may look at. */
export interface SimView {
  readonly options: SimOptions;
  readonly nodes: readonly SimNode[];
  readonly now: Millis;
}

/** Watches a run for one rule; told of everything that happens. */
export interface Checker {
  /** What `step` must see: steps with one of these events or effects. Absent: every step. */
  readonly concerns?: readonly (SwarmEvent['type'] | SwarmEffect['type'])[];
  /** One step of one machine; `effects` are about to be performed. */
  step?(host: SimHost, now: Millis, event: SwarmEvent, effects: readonly SwarmEffect[]): void;
  /** Periodic look, between steps. */
  look?(view: SimView): void;
  /** A life of a node ended by a crash. */
  died?(host: SimHost): void;
  /** All pulls are answered and nothing is under way on the network. */
  end?(view: SimView): void;
  /** Every machine was shut down and had time to wind down. */
  afterShutdown?(view: SimView): void;
}

/** Makes a checker for one run. @param violated throws; `where` is the node it happened at */
export type CheckerFactory = (violated: (says: string, where?: SimHost) => never, options: SimOptions) => Checker;

/** Something happened that must not. */
export class CheckFailed extends Error {
  constructor(
    readonly checker: string,
    readonly says: string,
    readonly at: Millis,
    readonly node: number | undefined,
  ) {
    super(`${checker}: ${says} (at ${at} ms${node === undefined ? '' : `, node ${node}`})`);
    this.name = 'CheckFailed';
  }
}
