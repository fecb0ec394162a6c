/** Puts a node together: listener, machine, host. Owns the defaults of what is not a setting of the swarm. */
import { createHash, randomInt } from 'node:crypto';
import { parsePeerId, type Digest, type PeerContext, type PeerId } from '@kraken/core/content';
import { PIECE_CHOICES } from '@kraken/core/policy';
import { silentLogger, silentMetrics, type Logger } from '@kraken/core/ports';
import { Random } from '@kraken/core/random';
import { DEFAULT_SWARM_CONFIG, recordSwarm, SwarmMachine, type SwarmConfig } from '@kraken/core/swarm';
import { bandwidthLimits } from './bandwidth.js';
import { processPools } from './buffer-pool.js';
import { systemClock } from './clock.js';
import { HostCounters } from './counters.js';
import { PeerListener } from './listener.js';
import type { PeerNodeOptions } from './peer-node-options.js';
import { PeerNode, type NodeRecording } from './peer-node.js';
import { PeerTls } from './peer-tls.js';
import { Lingering } from './lingering.js';
import type { PeerSocketShared } from './peer-socket.js';
import { openNetworkEvents, type NetworkEvents } from './network-events.js';
import { openRecordingFile } from './recording-file.js';
import { SwarmHost } from './swarm-host.js';
import { SwarmStats } from './swarm-stats.js';
import { TorrentLog } from './torrent-log.js';

const HANDSHAKES_MAX = 256;
const TURN_BUDGET_BYTES = 512 * 1024;

/**
 * Start a node: it listens when this resolves.
 * @throws KrakenError `network-error` when the port cannot be had, `config-invalid` for settings that make no sense
 *
 * @example
 * const node = await createPeerNode({ store, tracker, peer: { ip: '10.0.0.7' } });
 * const blob = await node.open(digest, { namespace: 'library/redis' });
 * for await (const chunk of blob.stream()) sink.write(chunk);
 */
export async function createPeerNode(options: PeerNodeOptions): Promise<PeerNode> {
  if (options.peer.ip === '')
    throw new TypeError('peer.ip expected an address that others can dial, got an empty string');
  const logger = options.logger ?? silentLogger;
  const config = { ...DEFAULT_SWARM_CONFIG, ...options.swarm };
  const counters = new HostCounters();
  const tls =
    options.tls === undefined ? undefined : new PeerTls(options.tls, { logger, clock: systemClock, counters });
  const shared: PeerSocketShared = {
    pools: options.pools ?? processPools,
    ...bandwidthLimits(options.bandwidth),
    counters,
    lingering: new Lingering(systemClock),
    clock: systemClock,
    turnBudgetBytes: options.turnBudgetBytes ?? TURN_BUDGET_BYTES,
    ...(tls === undefined ? {} : { tls }),
  };
  const handshakesMax = options.handshakesMax ?? HANDSHAKES_MAX;
  const settings = { handshakeTimeoutMs: config.handshakeTimeoutMs };
  const listener = new PeerListener({
    ...(options.listen?.host === undefined ? {} : { host: options.listen.host }),
    port: options.listen?.port ?? options.peer.port ?? 0,
    limits: { handshakesMax, socketsMax: handshakesMax + config.connectionsMax },
    shared,
    handshakeTimeoutMs: () => settings.handshakeTimeoutMs,
    failed: (error) => logger.error({ error }, 'the listening socket failed'),
  });
  const port = await listener.listen();
  let recording: NodeRecording | undefined;
  let networkEvents: NetworkEvents | undefined;
  try {
    const context = contextOf(options.peer, port);
    const role = context.origin ? 'origin' : 'agent';
    const swarm: SwarmConfig = { ...config, role, peerId: context.peerId };
    const seed = options.seed ?? randomInt(2 ** 32);
    recording = openRecording(options, swarm, seed, logger);
    if (options.networkEvents !== undefined) {
      const eventContext = {
        self: context.peerId,
        connCapacity: config.connectionsPerTorrentMax,
        have: (digest: Digest) => host.torrents.get(digest)?.file.have,
        wallClock: Date.now,
      };
      networkEvents = openNetworkEvents(options.networkEvents, eventContext, logger, systemClock);
    }
    const stats = new SwarmStats(logger, options.metrics ?? silentMetrics);
    const pieceChoices = { ...PIECE_CHOICES, ...options.pieceChoices };
    const machine = new SwarmMachine(swarm, new Random(seed), pieceChoices);
    const host: SwarmHost = new SwarmHost({
      machine,
      store: options.store,
      tracker: options.tracker,
      context,
      shared,
      stats,
      logger,
      torrentLog: new TorrentLog(logger),
      networkEvents,
      recorder: recording?.recorder,
      ignoreRoots: options.pieceLayer === false,
      ...(options.lookupMissing === undefined ? {} : { lookupMissing: options.lookupMissing }),
    });
    listener.serve((peer) => host.accepted(peer));
    return new PeerNode({
      recording,
      networkEvents,
      options,
      port,
      context,
      swarm,
      settings,
      listener,
      host,
      machine,
      shared,
      stats,
    });
  } catch (error) {
    listener.close();
    recording?.file.close();
    networkEvents?.close();
    throw error;
  }
}

/** A file that takes the lines, and the recorder that makes them. */
function openRecording(
  options: PeerNodeOptions,
  swarm: SwarmConfig,
  seed: number,
  logger: Logger,
): NodeRecording | undefined {
  if (options.record === undefined) return undefined;
  const file = openRecordingFile(options.record, logger, systemClock);
  return { file, recorder: recordSwarm(swarm, seed, (line) => file.append(line)) };
}

function contextOf(peer: PeerNodeOptions['peer'], listening: number): PeerContext {
  const port = peer.port === undefined || peer.port === 0 ? listening : peer.port;
  return {
    ip: peer.ip,
    port,
    peerId: peer.peerId ?? addrHash(peer.ip, port),
    zone: peer.zone ?? '',
    cluster: peer.cluster ?? '',
    origin: peer.origin ?? false,
  };
}

/** Kraken's `addr_hash`: SHA-1 of `ip:port`. */
export function addrHash(ip: string, port: number): PeerId {
  return parsePeerId(createHash('sha1').update(`${ip}:${port}`).digest('hex'));
}
