/** One shard on a thread of its own, for tests. */
import { parentPort, workerData } from 'node:worker_threads';
import { CheckFailed, Shard, ShardAbandoned, type ShardMemory, type SimOptions } from '@kraken/core/sim';
import { SwarmMachine, type SwarmEffect } from '@kraken/core/swarm';

export interface ShardWork {
  readonly options: Partial<SimOptions>;
  readonly memory: ShardMemory;
  readonly shard: number;
  /** This shard's machines answer each pull twice. */
  readonly isBroken: boolean;
}

class TwiceAnswering extends SwarmMachine {
  override step(...args: Parameters<SwarmMachine['step']>): SwarmEffect[] {
    return super
      .step(...args)
      .flatMap((effect): SwarmEffect[] => (effect.type === 'pull-finished' ? [effect, effect] : [effect]));
  }
}

const { options, memory, shard, isBroken } = workerData as ShardWork;
const part = new Shard(
  options,
  memory,
  shard,
  isBroken ? (config, random) => new TwiceAnswering(config, random) : undefined,
);
try {
  parentPort?.postMessage(part.run());
} catch (error) {
  if (error instanceof CheckFailed) parentPort?.postMessage({ failed: error.checker });
  else if (error instanceof ShardAbandoned) parentPort?.postMessage({ failed: 'abandoned' });
  else throw error;
}
