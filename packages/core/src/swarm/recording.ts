/** Recordings of the swarm machine: how one is begun, and how its machine is made again. Owns nothing. */
import { KrakenError } from '../errors/index.js';
import { parseRecordingHead, Recorder, Replay, type RecordingSink } from '../machine/index.js';
import type { PieceChoices } from '../policy/piece-choice/index.js';
import { Random } from '../random/index.js';
import type { SwarmConfig } from './config.js';
import type { SwarmEffect, SwarmEvent } from './events.js';
import { SwarmMachine } from './swarm-machine.js';

const MACHINE = 'swarm';

/** A recorder for the machine that `config` and `new Random(seed)` make. */
export function recordSwarm(config: SwarmConfig, seed: number, sink: RecordingSink): Recorder<SwarmEvent, SwarmEffect> {
  return new Recorder({ machine: MACHINE, config, seed }, sink);
}

/**
 * The machine of a recording, made again, ready for the lines after the first.
 * @param pieceChoices as the recorded machine got them
 * @throws KrakenError `recording-invalid`; `config-invalid` for a piece choice that is not there
 */
export function replaySwarm(firstLine: string, pieceChoices?: PieceChoices): Replay<SwarmEvent, SwarmEffect> {
  const { machine, config, seed } = parseRecordingHead(firstLine);
  if (machine !== MACHINE) {
    throw new KrakenError('recording-invalid', `expected a recording of ${MACHINE}, got one of ${machine}`);
  }
  return new Replay(new SwarmMachine(config as SwarmConfig, new Random(seed), pieceChoices));
}
