// A leecher with several peers at full speed: its peak memory and how late its event loop is.
import { Child } from '../lib/child.mjs';
import { peerProcess } from './payloads.mjs';

const MIB = 2048;
const PEERS = 8;

/** @returns {Promise<{ peakRssMiB: number, loopDelayP99Ms: number, loopDelayMaxMs: number }>} */
export async function leecherLoad(payloads) {
  const { dir, digest } = await payloads.store(MIB, { pieceLayer: true });
  const tracker = new Child('tracker', process.execPath, [new URL('tracker-process.mjs', import.meta.url).pathname]);
  const children = [tracker];
  const own = payloads.temporary();
  try {
    const { port } = await tracker.next('ready');
    const common = { digest, tracker: `127.0.0.1:${port}`, pieceLayer: true };
    const seeders = peerProcess('seeders', { ...common, role: 'seeder', dir, nodes: PEERS });
    children.push(seeders);
    const { blob } = await seeders.next('ready');
    tracker.send(blob);
    await tracker.next('known');
    await payloads.warm(MIB);
    const leecher = peerProcess('leecher', { ...common, role: 'leecher', dir: own, loopDelay: true });
    children.push(leecher);
    const { peakRssMiB, loopDelayP99Ms, loopDelayMaxMs } = await leecher.next('done');
    return { peakRssMiB, loopDelayP99Ms, loopDelayMaxMs };
  } finally {
    await Promise.all(children.map((child) => child.stop()));
    payloads.remove(own);
  }
}
