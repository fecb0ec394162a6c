// The committed form of a scenario's results: `docs/simulations/NAME.json`, enough to draw every plot and table again.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { percentile, storeAndForwardSeconds } from '../../../packages/core/dist/sim/index.js';
import { root } from '../ensure-built.mjs';
import { drawAll } from './documents.mjs';

/** Quantiles that are kept of each list of samples. */
const KEPT = 200;

/** Write the results of one scenario, and draw what depends on them. */
export function saveScenario(scenario, { runs, verdicts }) {
  const directory = join(root, 'docs/simulations');
  mkdirSync(directory, { recursive: true });
  const { version } = JSON.parse(readFileSync(join(root, 'packages/core/package.json'), 'utf8'));
  const saved = savedForm(scenario, { runs, verdicts }, { version, date: new Date().toISOString().slice(0, 10) });
  writeFileSync(join(directory, `${scenario.name}.json`), stringify(saved));
  for (const name of drawAll(join(root, 'docs'))) console.log(`docs/${name} written`);
}

/** @returns the value of the JSON file */
export function savedForm({ name, says }, { runs, verdicts }, { version, date }) {
  return {
    scenario: name,
    says,
    date,
    version,
    verdicts,
    runs: runs.map(({ policy, options, report, failure, realSeconds, cpuSeconds, rssMiB, node }) => ({
      policy,
      link: options.link,
      agents: options.agents,
      streaming: options.streaming,
      storeAndForwardSeconds: isFlashCrowd(options) ? round(storeAndForwardSeconds(options)) : null,
      failure: failure ?? null,
      ...(report === undefined ? {} : results(report)),
      speed: {
        realSeconds: round(realSeconds),
        cpuSeconds: round(cpuSeconds),
        stepsPerSecond: report === undefined ? null : Math.round(report.steps / realSeconds),
        rssMiB,
        node,
      },
      options,
    })),
  };
}

/** All hosts start together, so that one number bounds them all from below. */
function isFlashCrowd({ startWithinMs, lateShare, pullsApart, blobsIn, prefetchMs }) {
  return startWithinMs <= 1000 && lateShare === 0 && !pullsApart && (blobsIn === 'origins' || prefetchMs > 0);
}

function results(report) {
  const { counts, imageBytes } = report;
  const inSeconds = (ascendingMs) => ascendingMs.map((ms) => ms / 1000);
  return {
    completionSeconds: summary(inSeconds(report.completionMs)),
    blobSeconds: summary(inSeconds(report.blobMs)),
    firstPieceSeconds: summary(inSeconds(report.firstByteMs)),
    lastByteLagSeconds: summary(inSeconds(report.lastByteLagMs)),
    linkShares: { min: round(report.linkShares[0] ?? NaN), samples: thin(report.linkShares) },
    unfinished: report.unfinished,
    failedPulls: report.failedPulls,
    imageBytes,
    bytesFromOrigins: report.bytesFromOrigins,
    originCopies: round(report.bytesFromOrigins / imageBytes),
    bytesFromAgents: report.bytesFromAgents,
    bytesBetweenOrigins: report.bytesBetweenOrigins,
    bytesFromBackend: report.bytesFromBackend,
    backendReadsMax: report.backendReadsMax,
    ...counts,
    messagesPerPiece: round(report.messages / Math.max(1, counts.pieces)),
    steps: report.steps,
    virtualSeconds: round(report.virtualMs / 1000),
    traceHash: report.traceHash,
  };
}

function summary(ascending) {
  const at = (share) => round(percentile(ascending, share));
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1), count: ascending.length, samples: thin(ascending) };
}

/** The values at evenly spaced shares, the largest among them; all when they are few. */
export function thin(ascending) {
  if (ascending.length <= KEPT) return ascending.map(round);
  return Array.from({ length: KEPT }, (_, i) => round(percentile(ascending, (i + 1) / KEPT)));
}

const round = (value) => Math.round(value * 1e4) / 1e4;

/** JSON for people and for version control: lists of numbers on one line. */
export function stringify(value) {
  const text = JSON.stringify(value, (_, item) => (isNumbers(item) ? `[${item.join(',')}]` : item), 1);
  return `${text.replace(/"(\[[-\d.,e]*\])"/g, '$1')}\n`;
}

function isNumbers(item) {
  return Array.isArray(item) && item.length > 0 && item.every((element) => typeof element === 'number');
}
