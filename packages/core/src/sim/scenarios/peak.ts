/**
 * The peak of a large site, where many images are rolled out at once. 1,000 hosts pull 20 blobs each, at any time
 * of three minutes, out of a catalogue of 20,000 blobs of 100 MB to 1 GB: 20,000 pulls, 111 a second, 11 TB. The blob
 * of rank k is pulled as often as 1 / k says: a few by nearly all hosts, most by one or none. 20 origins with
 * 10 Gbit/s. The small form has a tenth of hosts, blobs and origins; both take a little over three virtual minutes.
 */
import type { SimOptions } from '../options.js';
import { MB, MiB, type Scenario } from './scenario.js';

const run = (agents: number): Partial<SimOptions> => ({
  agents,
  origins: agents / 50,
  trackers: 5,
  replicas: 2,
  blobs: agents * 20,
  blobsPerAgent: 20,
  popularity: 'zipf',
  blobBytes: 100 * MB,
  blobBytesMax: 1000 * MB,
  pieceBytes: 4 * MiB,
  startWithinMs: 180_000,
  pullsApart: true,
  originUpBytesPerSecond: 1250 * MB,
  originDownBytesPerSecond: 1250 * MB,
  streaming: true,
});

export const peak: Scenario = {
  says: '20,000 pulls out of 20,000 blobs of 100 MB to 1 GB by 1,000 hosts in three minutes',
  runs: [run(1000)],
};

export const peak100: Scenario = {
  says: '2,000 pulls out of 2,000 blobs of 100 MB to 1 GB by 100 hosts in three minutes',
  runs: [run(100)],
};
