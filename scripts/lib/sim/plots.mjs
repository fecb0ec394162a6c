// The plots of one saved scenario, by file name.
import { barPlot, linePlot, niceTicks } from './svg.mjs';

/** @returns `{ 'NAME.cdf.svg': text, … }`: those plots that the runs of `saved` give sense to */
export function plotsOf(saved) {
  const runs = saved.runs.filter(({ completionSeconds }) => completionSeconds !== undefined && completionSeconds.count > 0);
  const plots = {};
  if (runs.length === 0) return plots;
  plots[`${saved.scenario}.cdf.svg`] = completionPlot(saved, runs);
  if (new Set(runs.map(({ agents }) => agents)).size > 2) plots[`${saved.scenario}.scale.svg`] = scalePlot(saved, runs);
  if (new Set(runs.map(({ policy }) => policy)).size > 1) plots[`${saved.scenario}.policies.svg`] = policyPlot(saved, runs);
  return plots;
}

const inSeconds = (value) => String(value);
const hosts = (value) => value.toLocaleString('en-US');

/** What tells the runs of one scenario apart. */
function nameOf(run, runs) {
  const varies = (key) => new Set(runs.map((other) => other[key])).size > 1;
  const parts = [];
  if (varies('policy')) parts.push(run.policy);
  if (varies('agents')) parts.push(`${hosts(run.agents)} hosts`);
  if (varies('link') || parts.length === 0) parts.push(run.link);
  return parts.join(', ');
}

function completionPlot({ scenario, says }, runs) {
  const all = runs.flatMap(({ completionSeconds }) => completionSeconds.samples);
  const bounds = boundsOf(runs);
  return linePlot({
    title: `${scenario}: ${says}`,
    x: {
      label: 'seconds from a host’s start until it has everything, verified',
      ticks: niceTicks(Math.min(...all, ...bounds.map(({ at }) => at)), Math.max(...all)),
      format: inSeconds,
    },
    y: { label: 'hosts done', ticks: [0, 0.25, 0.5, 0.75, 1], format: (share) => `${share * 100} %` },
    series: runs.map((run) => {
      const { samples } = run.completionSeconds;
      const points = samples.map((value, i) => [value, (i + 1) / samples.length]);
      return { name: nameOf(run, runs), points: [[samples[0], 0], ...points], steps: true };
    }),
    bounds,
  });
}

function scalePlot({ scenario, says }, runs) {
  const shipping = runs.filter(({ policy, link }) => policy === runs[0].policy && link === runs[0].link);
  const sizes = shipping.map(({ agents }) => agents);
  const line = (name, of, bound = false) => ({ name, bound, markers: true, points: shipping.map((run) => [run.agents, of(run)]) });
  const series = [
    line('p50', (run) => run.completionSeconds.p50),
    line('p99', (run) => run.completionSeconds.p99),
    line('p99.9', (run) => run.completionSeconds.p999),
  ];
  if (shipping.every(({ storeAndForwardSeconds }) => storeAndForwardSeconds !== null))
    series.push(line(BOUND_NAME, (run) => run.storeAndForwardSeconds, true));
  return linePlot({
    title: `${scenario}: ${says} (${shipping[0].link})`,
    x: { label: 'hosts (logarithmic)', ticks: sizes, format: hosts, log: true },
    y: {
      label: 'seconds until done',
      ticks: niceTicks(0, Math.max(...shipping.map(({ completionSeconds }) => completionSeconds.p999))),
      format: inSeconds,
    },
    series,
  });
}

function policyPlot({ scenario, says }, runs) {
  return barPlot({
    title: `${scenario}: ${says}`,
    x: {
      label: 'seconds until done',
      ticks: niceTicks(0, Math.max(...runs.map(({ completionSeconds }) => completionSeconds.p999))),
      format: inSeconds,
    },
    valueFormat: (value) => value.toFixed(2),
    names: ['p50', 'p99', 'p99.9'],
    groups: runs.map((run) => ({
      name: `${run.policy}, ${run.link}`,
      values: ['p50', 'p99', 'p999'].map((key) => run.completionSeconds[key]),
    })),
    bounds: boundsOf(runs),
  });
}

const BOUND_NAME = 'store-and-forward bound';

/** The bound, when it is one for all runs. */
function boundsOf(runs) {
  const [at, ...others] = new Set(runs.map(({ storeAndForwardSeconds }) => storeAndForwardSeconds));
  return at === null || others.length > 0 ? [] : [{ at, name: `${BOUND_NAME}, ${at.toFixed(2)} s` }];
}
