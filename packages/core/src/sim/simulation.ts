/**
 * One run: nodes around shipping machines, the network between them, trackers, a workload and checkers,
 * all driven by virtual time and one seed.
 */
import type { Digest, MetaInfo, PeerId } from '../content/index.js';
import type { Millis } from '../machine/index.js';
import { Random } from '../random/index.js';
import { SwarmMachine, type SwarmConfig, type SwarmEffect, type SwarmEvent } from '../swarm/index.js';
import { CHECKERS, CheckFailed, type Checker, type SimView } from './checkers/index.js';
import { StepWatch } from './checkers/step-watch.js';
import { SimBackend } from './backend.js';
import { SimClient, type Want } from './client.js';
import { VirtualClock } from './clock.js';
import { SimDisk } from './disk.js';
import { drawFaults, type FaultTarget, type PlannedFault } from './faults/index.js';
import { SimHost, type SimHostContext, type SimMachine } from './host.js';
import { LINK_MODELS } from './links/index.js';
import { Network } from './network.js';
import { SimNode } from './node.js';
import { simOptions, swarmSettings, type SimOptions } from './options.js';
import { count, emptyCounts, makeReport, type MeasuredParts, type SimReport } from './report.js';
import { SimTracker, type AskedTracker } from './tracker.js';
import { FarNetwork } from './shards/far-network.js';
import { FarTracker, SERVERS_SHARD, serveTrackers } from './shards/far-trackers.js';
import type { Agreed, Meeting } from './shards/meeting.js';
import { PostOffice } from './shards/post-office.js';
import type { OpenFarEnd, ShardResult } from './shards/merge.js';
import { TraceHash } from './trace.js';
import { drawWants, LateJoiners, placeBlobs, randomHex } from './workload.js';

/** How a replay is watched more closely; changes nothing in the run. */
export interface RunWatch {
  /** From so many steps on, checkers look after every task of the clock. Default: at intervals only. */
  readonly lookFromStep?: number;
  /** Stop after so many steps. */
  readonly stepsMax?: number;
}

/** How far a run has come. */
export interface SimProgress {
  readonly steps: number;
  readonly lookedAtStep: number;
  readonly lastStep: number;
  readonly lastAtMs: Millis;
}

/** What runs on the nodes; replaced in tests that break it on purpose. */
export type MachineFactory = (config: SwarmConfig, random: Random) => SimMachine;

const shipping: MachineFactory = (config, random) => new SwarmMachine(config, random);

const SWARM_PORT = 16001;

/** Which part of a run a simulation is, when others run the rest. */
export interface RunPart {
  readonly shard: number;
  readonly meeting: Meeting;
}

export class Simulation implements SimView, FaultTarget {
  readonly options: SimOptions;
  readonly clock = new VirtualClock();
  readonly nodes: readonly SimNode[];
  readonly blobs: readonly MetaInfo[];
  readonly wants: readonly Want[];
  /** What will go wrong, in the order of its beginning. */
  readonly faults: readonly PlannedFault[];
  readonly network: Network;
  readonly trackers: readonly SimTracker[];
  readonly #post: PostOffice | undefined;
  #farTrackers: readonly FarTracker[] | undefined;
  readonly #openFarEnds: OpenFarEnd[] = [];
  readonly #backend: SimBackend;
  readonly #random: Random;
  readonly #createMachine: MachineFactory;
  /**
   * What machines of one role have in common; made once and with all fields, or each machine's copy would have a shape of its
   * own, and every access to it would be a search.
   */
  readonly #settings: Readonly<Record<SimNode['role'], SwarmConfig>>;
  readonly #trace = new TraceHash();
  readonly #counts = emptyCounts();
  readonly #checkers: readonly Checker[];
  readonly #watch: StepWatch;
  /** The program of each agent that runs, by node. */
  readonly #clients: (SimClient | undefined)[] = [];
  readonly #byAddress = new Map<string, SimNode>();
  readonly #hostContext: SimHostContext;
  /** Origins by blob, as the ring of a cluster would place it. */
  readonly #replicas: ReadonlyMap<Digest, readonly SimNode[]>;
  readonly #late: LateJoiners;
  #open: number;
  #steps = 0;
  #lookedAtStep = 0;
  #lastStep = 0;
  #lastAtMs: Millis = 0;

  constructor(given: Partial<SimOptions> = {}, createMachine: MachineFactory = shipping, part?: RunPart) {
    const options = simOptions(given);
    this.options = options;
    if (options.shards > 1 !== (part !== undefined))
      throw new RangeError(`${options.shards} shards expected as many threads`);
    this.#createMachine = createMachine;
    const peerId = '' as PeerId;
    this.#settings = {
      agent: { ...swarmSettings(options, 'agent'), peerId },
      origin: { ...swarmSettings(options, 'origin'), peerId },
    };
    this.#random = new Random(options.seed);
    // Each part draws from a generator of its own, so that a change in one does not shift the others.
    const draw = {
      links: this.#random.split(),
      ids: this.#random.split(),
      blobs: this.#random.split(),
      starts: this.#random.split(),
      faults: this.#random.split(),
    };
    const makeLinks = LINK_MODELS[options.link];
    if (makeLinks === undefined)
      throw new RangeError(`link expected one of ${Object.keys(LINK_MODELS).join(', ')}, got ${options.link}`);
    this.network = new Network({
      clock: this.clock,
      links: makeLinks({
        clock: this.clock,
        random: draw.links,
        burstMs: options.burstMs,
        ...(options.wireBytesPerSecond > 0 ? { wireRate: options.wireBytesPerSecond / 1000 } : {}),
        rateIntervalMs: options.rateIntervalMs,
      }),
      latencyMs: options.latencyMs,
      hostOf: (node) => this.nodes[node]?.host,
      hostAt: (ip, port) => this.#byAddress.get(`${ip}:${port}`)?.host,
    });
    this.nodes = this.#makeNodes(draw.ids);
    const placed = placeBlobs(draw.blobs, options, this.nodes.slice(options.agents));
    this.blobs = placed.map(({ metainfo }) => metainfo);
    this.#replicas = new Map(placed.map(({ metainfo, holders }) => [metainfo.digest, holders]));
    this.#backend = new SimBackend({
      links: this.network.links,
      nic: { host: this.nodes.length, upRate: options.backendBytesPerSecond / 1000, downRate: Infinity },
      latencyMs: options.latencyMs,
      ownersOf: (digest) => this.#owners(digest),
    });
    if (options.blobsIn === 'backend') for (const blob of this.blobs) this.#backend.store(blob);
    this.trackers = this.#makeTrackers();
    if (part !== undefined) this.#post = this.#joinOthers(part);
    this.#checkers = this.#makeCheckers();
    this.#watch = new StepWatch(this.#checkers);
    this.#hostContext = {
      clock: this.clock,
      network: this.network,
      options,
      trackerOf: (digest) => this.#trackerOf(digest),
      lookupMissing: (host, digest) => {
        if (host.isOrigin) this.#backend.fetch(digest, host.nodeState);
      },
      onStep: (now, event, effects, host) => this.#stepped(host, now, event, effects),
      onDial: () => {
        this.#counts.dials++;
      },
      onObservation: (host, observation) => {
        count(this.#counts, observation);
        if (observation.kind === 'piece-received' && !host.isOrigin) {
          this.#progressed();
          this.#counts.pieces++;
          if (observation.fromOrigin) this.#counts.piecesFromOrigins++;
          for (const want of this.#late.pieceStored())
            this.#ask(want, this.clock.now + draw.starts.unit() * options.startWithinMs);
        }
      },
    };
    this.wants = drawWants(draw.starts, options, this.blobs);
    this.#late = new LateJoiners(options, this.wants);
    this.faults = drawFaults(draw.faults, options);
    this.#open = this.wants.filter(({ node }) => this.#runs(node)).length;
  }

  /** Milliseconds of virtual time since the start. */
  get now(): Millis {
    return this.clock.now;
  }

  /** Pulls that wait for their final answer. */
  get openPulls(): number {
    return this.#open;
  }

  /** Steps of all machines so far, at the last periodic look, and when a pull last got a piece or its answer. */
  get progress(): SimProgress {
    return { steps: this.#steps, lookedAtStep: this.#lookedAtStep, lastStep: this.#lastStep, lastAtMs: this.#lastAtMs };
  }

  /**
   * Run until every pull is answered and the network is quiet, or until the horizon.
   * @throws CheckFailed when a checker objects
   */
  run(watch: RunWatch = {}): SimReport {
    this.begin();
    const { horizonMs } = this.options;
    const { lookFromStep = Infinity, stepsMax = Infinity } = watch;
    while (this.#open > 0 && this.#steps < stepsMax && this.clock.runNext(horizonMs))
      if (this.#steps >= lookFromStep) this.#look();
    const virtualMs = this.clock.now;
    if (this.#open === 0) this.#windDown();
    return makeReport({ ...this.#measured(), options: this.options, wants: this.wants, virtualMs });
  }

  /** Switch everything on; nothing has happened yet. */
  begin(): void {
    for (const node of this.nodes) this.restart(node);
    if (this.options.prefetchMs > 0 && this.#runs(this.options.agents))
      for (const { digest } of this.blobs) this.#metaInfo(digest);
    for (const want of this.wants)
      if (want.askedAt !== Infinity && this.#runs(want.node)) this.#ask(want, want.askedAt);
    for (const injection of this.faults) {
      this.clock.at(injection.atMs, () => injection.begin(this));
      this.clock.at(injection.untilMs, () => injection.end(this));
    }
    if (this.#checkers.some((checker) => checker.look !== undefined)) this.#lookAgain();
  }

  /** Run all that is due until `until`. */
  runUntil(until: Millis): void {
    while (this.clock.runNext(until));
  }

  /** The window of this shard is over. @throws ShardAbandoned */
  exchange(): Agreed {
    if (this.#post === undefined) throw new RangeError('one shard has nobody to exchange with');
    return this.#post.exchange(this.#open);
  }

  /** What this shard measured. @param virtualMs until its last pull was answered, or until the horizon */
  result(virtualMs: Millis): ShardResult {
    const finished = this.wants.filter(({ node }) => this.#runs(node));
    const { bytesRead, bytesBetweenOrigins, readsMax } = this.#backend;
    return {
      ...this.#measured(),
      virtualMs,
      shard: this.#post?.shard ?? 0,
      backend: { bytesRead, bytesBetweenOrigins, readsMax },
      wants: finished.map(({ metainfo, failures, ...times }) => ({
        ...times,
        metainfo: { length: metainfo.length },
        failures: { length: failures.length },
      })),
      openFarEnds: this.#openFarEnds,
    };
  }

  /** Cut the power of a node. */
  crash(node: SimNode): void {
    const { host } = node;
    if (host === undefined) return;
    node.host = undefined;
    this.#clients[node.number] = undefined;
    host.die();
    node.disk.crash(this.#random);
    for (const checker of this.#checkers) checker.died?.(host);
  }

  /** Switch a node on; its program asks for what it still wants and offers what it has. */
  restart(node: SimNode): void {
    if (node.host !== undefined) return;
    const random = this.#random.split();
    if (!this.#runs(node.number)) return;
    const config: SwarmConfig = { ...this.#settings[node.role], peerId: node.peerId };
    const host = new SimHost(node, this.#createMachine(config, random), this.#hostContext);
    node.host = host;
    if (node.role === 'origin') return;
    const client = new SimClient(host, {
      streaming: this.options.streaming,
      retryMs: this.options.retryMs,
      onFinished: () => {
        this.#open--;
        this.#progressed();
      },
      later: (delayMs, task) => this.clock.after(delayMs, task),
    });
    this.#clients[node.number] = client;
    for (const file of node.disk.files()) {
      if (file.committed) host.post({ type: 'seed-requested', namespace: 'sim', digest: file.metainfo.digest });
    }
    if (this.clock.now === 0) return;
    for (const want of this.wants) {
      if (want.node === node.number && want.finishedAt === undefined && want.askedAt <= this.clock.now)
        client.pull(want);
    }
  }

  #ask(want: Want, at: Millis): void {
    want.askedAt = at;
    this.clock.at(at, () => this.#clients[want.node]?.pull(want));
  }

  /** Everything has been answered and healed: what is on the wire arrives, then all machines are shut down. */
  #windDown(): void {
    const { quietMs } = this.options;
    const healedAt = this.faults.reduce((latest, { untilMs }) => Math.max(latest, untilMs), this.clock.now);
    this.runUntil(healedAt + quietMs);
    this.endChecks();
    this.shutDown();
    this.runUntil(this.clock.now + quietMs);
    this.shutdownChecks();
  }

  /** Everything is answered, healed and quiet. */
  endChecks(): void {
    for (const checker of this.#checkers) checker.end?.(this);
    for (const { host } of this.nodes)
      for (const { state, far, digest } of host?.endpoints.values() ?? [])
        if (state === 'open' && far !== undefined) this.#openFarEnds.push({ ...far, digest });
  }

  /** Ask every machine to shut down. */
  shutDown(): void {
    for (const { host } of this.nodes) host?.post({ type: 'shutdown-requested' });
  }

  /** Every machine had time to wind down. */
  shutdownChecks(): void {
    for (const checker of this.#checkers) checker.afterShutdown?.(this);
  }

  #measured(): Pick<SimReport, 'imageBytes' | 'counts' | 'steps' | 'traceHash'> & MeasuredParts {
    return {
      imageBytes: this.blobs.reduce((sum, blob) => sum + blob.length, 0),
      network: this.network.counts,
      backend: this.#backend,
      counts: this.#counts,
      steps: this.#steps,
      traceHash: this.#trace.hex(),
    };
  }

  /** Does a node run here, and not on another shard? Agents take turns, all others are on one shard. */
  #runs(node: number): boolean {
    return this.#post === undefined || this.#shardOf(node) === this.#post.shard;
  }

  #shardOf(node: number): number {
    return node < this.options.agents ? node % this.options.shards : SERVERS_SHARD;
  }

  #joinOthers({ shard, meeting }: RunPart): PostOffice {
    const { clock, options, nodes, blobs } = this;
    const { arrivals } = this.network.links;
    if (arrivals === undefined) throw new RangeError(`shards expected links that can be divided, got ${options.link}`);
    const post = new PostOffice(meeting, clock, shard, options.shards);
    const shardOf = (node: number): number => this.#shardOf(node);
    const { latencyMs, trackerDelayMs: delayMs } = options;
    const mail = { post, clock, latencyMs, nodes, blobs };
    this.network.reach(new FarNetwork({ ...mail, options, arrivals, shardOf }));
    const trackerMail = { ...mail, delayMs };
    if (shard === SERVERS_SHARD) serveTrackers(this.trackers, trackerMail);
    else this.#farTrackers = this.trackers.map((_, tracker) => new FarTracker(trackerMail, tracker));
    return post;
  }

  #stepped(host: SimHost, now: Millis, event: SwarmEvent, effects: readonly SwarmEffect[]): void {
    this.#steps++;
    this.#trace.step(now, host.node, event, effects.length);
    this.#watch.step(host, now, event, effects);
  }

  #lookAgain(): void {
    this.clock.afterConstant(this.options.checkIntervalMs, () => {
      this.#look();
      this.#lookedAtStep = this.#steps;
      if (this.#open > 0) this.#lookAgain();
    });
  }

  #look(): void {
    for (const checker of this.#checkers) checker.look?.(this);
  }

  #progressed(): void {
    this.#lastStep = this.#steps;
    this.#lastAtMs = this.clock.now;
  }

  #makeNodes(random: Random): SimNode[] {
    const { options } = this;
    const nodes: SimNode[] = [];
    for (let number = 0; number < options.agents + options.origins; number++) {
      const role = number < options.agents ? 'agent' : 'origin';
      const up = role === 'agent' ? options.agentUpBytesPerSecond : options.originUpBytesPerSecond;
      const down = role === 'agent' ? options.agentDownBytesPerSecond : options.originDownBytesPerSecond;
      const ip = `10.${number >>> 16}.${(number >>> 8) & 255}.${number & 255}`;
      const disk = new SimDisk({
        hashMsPerByte: options.hashSecondsPerGB / 1e6,
        capacityBytes: options.diskCapacityBytes,
      });
      const nic = { host: number, upRate: up / 1000, downRate: down / 1000 };
      const node = new SimNode(number, role, randomHex(random, 40) as PeerId, ip, SWARM_PORT, nic, disk);
      nodes.push(node);
      this.#byAddress.set(`${ip}:${SWARM_PORT}`, node);
    }
    return nodes;
  }

  #makeTrackers(): SimTracker[] {
    const { options } = this;
    return Array.from(
      { length: options.trackers },
      () =>
        new SimTracker({
          clock: this.clock,
          random: this.#random.split(),
          latencyMs: options.latencyMs,
          delayMs: options.trackerDelayMs,
          intervalMs: options.announceIntervalMs,
          peerOrder: options.peerOrder,
          handoutMax: options.handoutMax,
          originPeers: (digest) => this.#owners(digest).map((node) => node.peerInfo(true)),
          metaInfo: (digest) => this.#metaInfo(digest),
        }),
    );
  }

  /** Origins of a blob that run, in the order in which trackers ask them. */
  #owners(digest: Digest): SimNode[] {
    return (this.#replicas.get(digest) ?? []).filter((node) => node.host !== undefined);
  }

  /** What the first owner answers; one that lacks the blob fetches it. */
  #metaInfo(digest: Digest): MetaInfo | 'pending' | undefined {
    const [first] = this.#owners(digest);
    if (first === undefined) return undefined;
    const file = first.disk.file(digest);
    if (file !== undefined) return file.metainfo;
    return this.#backend.fetch(digest, first) ? 'pending' : undefined;
  }

  /** Trackers share the blobs by digest. */
  #trackerOf(digest: Digest): AskedTracker {
    const trackers = this.#farTrackers ?? this.trackers;
    return trackers[parseInt(digest.slice(7, 15), 16) % trackers.length] as AskedTracker;
  }

  #makeCheckers(): Checker[] {
    const names = this.options.checkers.flatMap((name) => (name === 'all' ? Object.keys(CHECKERS) : [name]));
    return [...new Set([...names, 'time-moves-on'])].map((name) => {
      const create = CHECKERS[name];
      if (create === undefined)
        throw new RangeError(`checker expected one of ${Object.keys(CHECKERS).join(', ')}, got ${name}`);
      return create((says, where) => {
        throw new CheckFailed(name, says, this.clock.now, where?.node);
      }, this.options);
    });
  }
}
