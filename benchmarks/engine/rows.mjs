// What is measured of the engine and what is asked of it. Each row takes its references in the same run, in turns with the
// product, so that both see the same machine.
import { makeCertificates } from '../lib/certificates.mjs';
import { median, spread } from '../lib/statistics.mjs';
import { agentStart } from './agent-start.mjs';
import { httpGet } from './http-get.mjs';
import { leecherLoad } from './leecher-load.mjs';
import { trackerAnnounce } from './tracker-announce.mjs';
import { libtorrentTransfer, ownTransfer } from './transfer.mjs';

const TRANSFER_MIB = 512;
const VARIANTS = {
  'CRC only': { pieceLayer: false, blobHash: false },
  'piece layer': { pieceLayer: true, blobHash: false },
  'piece layer and blob hash': { pieceLayer: true, blobHash: true },
};

/**
 * A line of the result. `must` and `aim` bound `value`; with `atLeast` from below.
 * @typedef {{ name: string, value: number, unit: string, must?: number, aim?: number, atLeast?: boolean, detail: string }} Line
 */

/** Groups of rows, each measured as one. @type {Record<string, { needs: string[], measure(context: object): Promise<Line[]> }>} */
export const GROUPS = {
  'one-to-one': {
    needs: ['libtorrent'],
    measure: (context) =>
      transfers(context, 1, {
        wall: { must: 0.45, aim: 0.31 },
        cpu: {
          'CRC only': { must: 0.5, aim: 0.4 },
          'piece layer': { must: 0.6, aim: 0.52 },
          'piece layer and blob hash': { must: 0.75, aim: 0.66 },
        },
      }),
  },
  'one-to-four': {
    needs: ['libtorrent'],
    measure: (context) =>
      transfers(context, 4, {
        wall: { must: 0.65, aim: 0.57 },
        cpu: {
          'CRC only': { must: 0.65, aim: 0.58 },
          'piece layer': { must: 0.8, aim: 0.7 },
          'piece layer and blob hash': { must: 1, aim: 0.9 },
        },
      }),
  },
  tls: { needs: ['openssl'], measure: tlsTransfer },
  'http-get': { needs: ['nginx', 'curl'], measure: blobGet },
  'leecher-load': { needs: [], measure: leecher },
  'agent-start': { needs: [], measure: start },
  'tracker-announce': { needs: ['wrk'], measure: announces },
};

async function transfers({ payloads, rounds, note }, leechers, bounds) {
  const runs = { libtorrent: [] };
  for (const name of Object.keys(VARIANTS)) runs[name] = [];
  for (let n = 0; n < rounds; n++) {
    note(`1 → ${leechers}, round ${n + 1} of ${rounds}`);
    runs.libtorrent.push(await libtorrentTransfer(payloads, { mib: TRANSFER_MIB, leechers }));
    for (const [name, variant] of Object.entries(VARIANTS)) {
      runs[name].push(await ownTransfer(payloads, { mib: TRANSFER_MIB, leechers, ...variant }));
    }
  }
  const of = (name, key) => median(runs[name].map((run) => run[key]));
  const wall = (name) => `${of(name, 'wallSec').toFixed(2)} s`;
  const cpu = (name) => `${of(name, 'cpuPerGB').toFixed(2)} CPU-s/GB`;
  const spreadOf = (name, key) => `± ${((spread(runs[name].map((run) => run[key])) / 2) * 100).toFixed(0)} %`;
  const mbPerSec = (name) => `${((TRANSFER_MIB * leechers * 2 ** 20) / 1e6 / of(name, 'wallSec')).toFixed(0)} MB/s`;
  // The bounds come from a data path that computes nothing but the CRC; hashing, whose CPU time is bounded below, has a row of its own.
  const wallRow = (name, bound) => ({
    name: `1 → ${leechers}, wall / libtorrent, ${name}`,
    value: of(name, 'wallSec') / of('libtorrent', 'wallSec'),
    unit: '×',
    ...bound,
    detail: `${wall(name)} ${spreadOf(name, 'wallSec')} (${mbPerSec(name)}); libtorrent ${wall('libtorrent')}`,
  });
  return [
    wallRow('CRC only', bounds.wall),
    wallRow('piece layer and blob hash', {}),
    ...Object.keys(VARIANTS).map((name) => ({
      name: `1 → ${leechers}, CPU / libtorrent, ${name}`,
      value: of(name, 'cpuPerGB') / of('libtorrent', 'cpuPerGB'),
      unit: '×',
      ...bounds.cpu[name],
      detail: `${cpu(name)} ${spreadOf(name, 'cpuPerGB')}, leecher ${of(name, 'leecherRssMiB').toFixed(0)} MiB; libtorrent ${cpu('libtorrent')} ${spreadOf('libtorrent', 'cpuPerGB')}; without the start of the seeders ${(of(name, 'transferCpuPerGB') / of('libtorrent', 'transferCpuPerGB')).toFixed(2)} ×`,
    })),
  ];
}

async function tlsTransfer({ payloads, rounds, note }) {
  const tls = makeCertificates(payloads.temporary());
  const runs = [];
  for (let n = 0; n < rounds; n++) {
    note(`mutual TLS, round ${n + 1} of ${rounds}`);
    runs.push(
      await ownTransfer(payloads, { mib: TRANSFER_MIB, leechers: 1, ...VARIANTS['piece layer and blob hash'], tls }),
    );
  }
  const cpu = runs.map(({ cpuPerGB }) => cpuPerGB);
  return [
    {
      name: '1 → 1 with mutual TLS, CPU',
      value: median(cpu),
      unit: 'CPU-s/GB',
      detail: `everything checked, wall ${median(runs.map(({ wallSec }) => wallSec)).toFixed(2)} s`,
    },
  ];
}

async function blobGet({ payloads, rounds, note }) {
  note('GET of a local blob');
  const { agent, nginx } = await httpGet(payloads, rounds);
  const of = (runs, key) => median(runs.map((run) => run[key]));
  return [
    {
      name: 'GET of a local 1 GiB blob / nginx with sendfile',
      value: of(agent, 'mbPerSec') / of(nginx, 'mbPerSec'),
      unit: '×',
      must: 0.9,
      aim: 1.3,
      atLeast: true,
      detail: `${of(agent, 'mbPerSec').toFixed(0)} MB/s, ${of(agent, 'cpuPerGB').toFixed(2)} CPU-s/GB; nginx ${of(nginx, 'mbPerSec').toFixed(0)} MB/s, ${of(nginx, 'cpuPerGB').toFixed(2)}`,
    },
  ];
}

async function leecher({ payloads, rounds, note }) {
  const runs = [];
  for (let n = 0; n < rounds; n++) {
    note(`leecher of 2 GiB with 8 peers, round ${n + 1} of ${rounds}`);
    runs.push(await leecherLoad(payloads));
  }
  const of = (key) => median(runs.map((run) => run[key]));
  return [
    {
      name: 'leecher of 2 GiB with 8 peers, peak RSS',
      value: of('peakRssMiB'),
      unit: 'MiB',
      must: 110,
      aim: 80,
      detail: 'the process, with all checks',
    },
    {
      name: 'leecher of 2 GiB with 8 peers, event-loop delay p99',
      value: of('loopDelayP99Ms'),
      unit: 'ms',
      must: 20,
      aim: 10,
      detail: `largest ${of('loopDelayMaxMs').toFixed(0)} ms`,
    },
  ];
}

async function start({ payloads, rounds, note }) {
  note('start of an agent');
  const runs = [];
  for (let n = 0; n < rounds; n++) runs.push(await agentStart(payloads));
  const of = (key) => median(runs.map((run) => run[key]));
  return [
    {
      name: 'agent ready',
      value: of('readyMs'),
      unit: 'ms',
      must: 250,
      aim: 150,
      detail: `${(of('startCpuSec') * 1000).toFixed(0)} ms of CPU`,
    },
    {
      name: 'agent idle, RSS',
      value: of('idleRssMiB'),
      unit: 'MiB',
      must: 80,
      aim: 60,
      detail: '2 s after it is ready',
    },
  ];
}

async function announces({ payloads, rounds, note }) {
  note('announces');
  const { tracker, bare } = await trackerAnnounce(payloads, rounds);
  const of = (runs, key) => median(runs.map((run) => run[key]));
  return [
    {
      name: 'tracker announces / bare node:http',
      value: of(tracker, 'perSec') / of(bare, 'perSec'),
      unit: '×',
      must: 0.25,
      aim: 0.4,
      atLeast: true,
      detail: `${of(tracker, 'perSec').toFixed(0)} announces/s, ${of(tracker, 'cpuMsPerThousand').toFixed(0)} CPU-ms per thousand; bare ${of(bare, 'perSec').toFixed(0)}/s, ${of(bare, 'cpuMsPerThousand').toFixed(0)}`,
    },
  ];
}
