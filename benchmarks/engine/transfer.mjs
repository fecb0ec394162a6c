// One seeder, n leechers, each a process: how long and how much CPU, ours and libtorrent's. Time runs from the start of the
// leechers, whose seeder is up before. CPU is that of whole processes from their start, so it includes that libtorrent's
// seeder checks its file; without what seeders did before, it is given too. The tracker is left out: libtorrent has none.
import { Child } from '../lib/child.mjs';
import { libtorrentProcess, peerProcess } from './payloads.mjs';

const GB = 1e9;
const LIBTORRENT_PORT = 36_100;

/** @returns {Promise<{ wallSec: number, cpuPerGB: number, transferCpuPerGB: number, leecherRssMiB: number }>} */
export async function ownTransfer(payloads, { mib, leechers, pieceLayer, blobHash, tls }) {
  const { dir, digest } = await payloads.store(mib, { pieceLayer });
  const children = [];
  const dirs = [];
  const start = (name, options) => {
    const child = peerProcess(name, options);
    children.push(child);
    return child;
  };
  try {
    const tracker = new Child('tracker', process.execPath, [new URL('tracker-process.mjs', import.meta.url).pathname]);
    children.push(tracker);
    const { port } = await tracker.next('ready');
    const common = { digest, tracker: `127.0.0.1:${port}`, pieceLayer, ...(tls === undefined ? {} : { tls }) };
    const seeder = start('seeder', { ...common, role: 'seeder', dir });
    const before = await seeder.next('ready');
    if (before.hasRoot !== pieceLayer) throw new Error(`the seeder ${before.hasRoot ? 'has' : 'lacks'} a piece layer`);
    tracker.send(before.blob);
    await tracker.next('known');
    await payloads.warm(mib * leechers);
    const begun = performance.now();
    const running = Array.from({ length: leechers }, (_, n) => {
      dirs.push(payloads.temporary());
      return start(`leecher ${n}`, { ...common, role: 'leecher', dir: dirs.at(-1), blobHash });
    });
    return await measured({ mib, seeder, before, running, begun });
  } finally {
    await stopAll(children);
    for (const made of dirs) payloads.remove(made);
  }
}

/** The same with libtorrent. Every leecher is told of the seeder and of the leechers before it. */
export async function libtorrentTransfer(payloads, { mib, leechers }) {
  const torrent = await payloads.torrent(mib);
  const children = [];
  const dirs = [];
  const start = (name, options) => {
    const child = libtorrentProcess(name, { ...options, torrent, ip: '127.0.0.1' });
    children.push(child);
    return child;
  };
  try {
    const seeder = start('seeder', { role: 'seeder', dir: payloads.dir, port: LIBTORRENT_PORT });
    const before = await seeder.next('ready');
    await payloads.warm(mib * leechers);
    const begun = performance.now();
    const running = Array.from({ length: leechers }, (_, n) => {
      dirs.push(payloads.temporary());
      const peers = Array.from({ length: n + 1 }, (_, other) => LIBTORRENT_PORT + other);
      return start(`leecher ${n}`, { role: 'leecher', dir: dirs.at(-1), port: LIBTORRENT_PORT + 1 + n, peers });
    });
    return await measured({ mib, seeder, before, running, begun });
  } finally {
    await stopAll(children);
    for (const made of dirs) payloads.remove(made);
  }
}

async function measured({ mib, seeder, before, running, begun }) {
  const done = await Promise.all(running.map((child) => child.next('done')));
  const wallSec = (Math.max(...done.map(({ at }) => at)) - begun) / 1000;
  // Once more at the end: they serve each other after they are complete.
  const ends = await Promise.all([seeder, ...running].map((child) => usageOf(child)));
  const [after, ...leechers] = ends;
  const leecherCpuSec = leechers.reduce((sum, { cpuSec }) => sum + cpuSec, 0);
  const delivered = (mib * 2 ** 20 * running.length) / GB;
  return {
    wallSec,
    cpuPerGB: (after.cpuSec + leecherCpuSec) / delivered,
    /** Without what the seeder did before the leechers were started. */
    transferCpuPerGB: (after.cpuSec - before.cpuSec + leecherCpuSec) / delivered,
    leecherRssMiB: Math.max(...leechers.map(({ peakRssMiB }) => peakRssMiB)),
  };
}

function usageOf(child) {
  child.send({});
  return child.next('usage');
}

async function stopAll(children) {
  await Promise.all(children.map((child) => child.stop()));
}
