/**
 * What a fault is: something drawn from the seed that begins during the safety phase of a run and has ended
 * when the healing phase begins. A kind of fault is one file beside this one.
 */
import type { Random } from '../../random/index.js';
import type { Network } from '../network.js';
import type { SimNode } from '../node.js';
import type { SimOptions } from '../options.js';
import type { SimTracker } from '../tracker.js';

/** What a fault may lay its hands on. */
export interface FaultTarget {
  readonly nodes: readonly SimNode[];
  readonly trackers: readonly SimTracker[];
  readonly network: Network;
  /** Cut the power of a node; nothing happens to one that is off. */
  crash(node: SimNode): void;
  /** Switch it on again; nothing happens to one that runs. */
  restart(node: SimNode): void;
}

/** One drawn fault. Times in milliseconds; `untilMs` is when `end` undoes it. */
export interface Injection {
  /** For the list that is printed first. */
  readonly says: string;
  readonly atMs: number;
  readonly untilMs: number;
  /** Let it happen. */
  begin(target: FaultTarget): void;
  /** Undo it. */
  end(target: FaultTarget): void;
}

/** A drawn fault of a run. */
export interface PlannedFault extends Injection {
  /** Its name in the table. */
  readonly kind: string;
}

/** A stretch of the safety phase, drawn by the plan. */
export interface Window {
  readonly atMs: number;
  readonly untilMs: number;
}

/** Draws the particulars. Several injections are several things that go wrong together. */
export type Fault = (random: Random, window: Window, options: SimOptions) => Injection | readonly Injection[];

/** Any node, as a number. */
export const drawNode = (random: Random, options: SimOptions): number => random.below(options.agents + options.origins);

/** Two nodes that differ, as numbers; an origin always has an agent beside it. */
export function drawPair(random: Random, options: SimOptions): readonly [number, number] {
  const a = drawNode(random, options);
  const b = random.below(options.agents + options.origins - 1);
  return [a, b < a ? b : b + 1];
}

export function nodeAt(target: FaultTarget, number: number): SimNode {
  const node = target.nodes[number];
  if (node === undefined) throw new RangeError(`node expected 0..${target.nodes.length - 1}, got ${number}`);
  return node;
}
