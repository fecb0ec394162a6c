// One run of the scenario on real processes over loopback: an origin and agents with the limiter on, a tracker on HTTP
// beside them. Directories are in memory where the system offers that.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '../../../packages/core/dist/random/index.js';
import { Child } from './child.mjs';
import { quarterTimes } from './compare.mjs';
import { MachineLoad } from './machine-load.mjs';
import { PAYLOAD_PART } from './payload-part.mjs';

/** After the last agent is done: what is on the wire arrives. */
const QUIET_MS = 1000;
/** Limiters fill up again before the start. */
const SETTLE_MS = 2000;
/** A small blob is pulled before: agents that serve have compiled code and running hash workers. */
const WARM_UP_PIECES = 4;

/** @param {import('../../../packages/core/dist/sim/index.js').SimOptions} options all filled in @param {number} seed */
export async function runReal(options, seed) {
  const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'kraken-parity-'));
  const children = [];
  const child = (name, script) => {
    const made = new Child(name, script);
    children.push(made);
    return made;
  };
  try {
    const random = new Random(seed);
    const start = (name, role, extra) => {
      const bytesPerSecond = role === 'origin' ? options.originUpBytesPerSecond : options.agentUpBytesPerSecond;
      const swarm = role === 'origin' ? { ...options.agentSwarm, ...options.originSwarm } : options.agentSwarm;
      const made = child(name, './peer.mjs');
      const answer = made.ask('start', {
        role,
        directory: join(root, name),
        limitBytesPerSec: Math.round(bytesPerSecond / PAYLOAD_PART),
        swarm,
        seed: random.uint32(),
        ...extra,
      });
      return { made, answer };
    };
    const origin = start('origin', 'origin', {
      blobs: [
        { seed: `warm up ${seed}`, bytes: WARM_UP_PIECES * options.pieceBytes },
        { seed: `parity ${seed}`, bytes: options.blobBytes },
      ],
      pieceBytes: options.pieceBytes,
    });
    const { peer, made } = await origin.answer;
    const tracker = child('tracker', './tracker.mjs');
    const { port } = await tracker.ask('start', {
      origin: peer,
      blobs: made,
      announceIntervalMs: options.announceIntervalMs,
      announceLimit: options.handoutMax,
      peerOrder: options.peerOrder,
    });
    const agents = [];
    // Four at a time: starting is the hardest work of all.
    for (let n = 0; n < options.agents; n += 4) {
      const batch = Array.from({ length: Math.min(4, options.agents - n) }, (_, i) =>
        start(`agent-${n + i + 1}`, 'agent', { trackerPort: port }),
      );
      for (const { made, answer } of batch) {
        await answer;
        agents.push(made);
      }
    }
    const peers = [origin.made, ...agents];
    const [warmUp, { digest }] = made;
    const pull = { streaming: options.streaming, limitMs: options.horizonMs };
    await Promise.all(agents.map((agent) => agent.ask('pull', { ...pull, digest: warmUp.digest, afterMs: 0 })));
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));

    await Promise.all(peers.map((made) => made.ask('measure')));
    const load = new MachineLoad();
    const pulls = await Promise.all(
      agents.map((agent) =>
        agent.ask(
          'pull',
          { ...pull, digest, afterMs: random.unit() * options.startWithinMs },
          options.horizonMs + 1000,
        ),
      ),
    );
    const cpu = await Promise.all(peers.map((made) => made.ask('stats')));
    const machine = load.since(cpu.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0));
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    const stats = await Promise.all(peers.map((made) => made.ask('stats')));
    const digests = await Promise.all(agents.map((made) => made.ask('hash', { digest })));

    const sum = (of) => stats.reduce((total, one) => total + one[of], 0);
    const starts = pulls.map(({ startedAt }) => startedAt);
    return {
      seed,
      completionMs: sorted(pulls.map(({ completionMs }) => completionMs)),
      firstByteMs: sorted(pulls.map(({ firstByteMs }) => firstByteMs)),
      quarterMs: pulls.map(({ pieceMs }) => quarterTimes(pieceMs)),
      messages: sum('messages'),
      requests: sum('requests'),
      pieces: sum('pieces'),
      bytesFromOrigins: stats[0].bytesSent,
      duplicates: sum('duplicates'),
      expired: sum('expired'),
      dials: sum('dials'),
      refusals: sum('refusals'),
      digest,
      digestsEqual: digests.every((one) => one.digest === digest),
      startedWithinMs: Math.max(...starts) - Math.min(...starts),
      machine: {
        ...machine,
        busiestPeer: Math.max(...cpu.map(({ cpuSeconds }) => cpuSeconds)) / (Math.max(...pulls.map((p) => p.completionMs)) / 1000),
        loopDelayP99Ms: Math.max(...cpu.map(({ loopDelayP99Ms }) => loopDelayP99Ms)),
      },
    };
  } finally {
    await Promise.all(children.map((made) => made.stop()));
    rmSync(root, { recursive: true, force: true });
  }
}

const sorted = (values) => values.sort((a, b) => a - b);
