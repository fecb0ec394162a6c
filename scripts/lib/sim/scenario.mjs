// Runs a scenario: the shipping policy, judged by the scenario's bounds, and the policies that stand beside it.
import { judge, judgeGrowth, POLICIES, shardProblems, simOptions, verdictLine } from '../../../packages/core/dist/sim/index.js';
import { printRun, simulateAll } from './run.mjs';

const SHIPPING = 'default';

/**
 * Run and print one scenario.
 * @param flags what the command line says, see flags.mjs
 * @param say takes the lines of the report
 * @returns `ok`, and with it all that was run and judged
 */
export async function runScenario(scenario, flags, say = console.log) {
  say(`\n# ${scenario.name}: ${scenario.says}`);
  const policies = flags.policy === undefined ? [SHIPPING, ...(scenario.beside ?? [])] : [flags.policy];
  const plans = policies.flatMap((policy) =>
    scenario.runs.map((run) => ({
      policy,
      options: divided({ ...run, ...flags.given, agentSwarm: { ...run.agentSwarm, ...POLICIES[policy] } }),
    })),
  );
  let ok = true;
  const outcomes = await simulateAll(
    plans.map(({ options }) => options),
    flags.jobs,
    (outcome, index) => {
      const finished = printRun(outcome, { label: `policy=${plans[index].policy} `, json: flags.json, say });
      // What stands beside is a comparison; it need not finish.
      if (plans[index].policy === SHIPPING || flags.policy !== undefined) ok &&= finished;
    },
  );
  const runs = outcomes.map((outcome, index) => ({ policy: plans[index].policy, ...outcome }));
  const verdicts = flags.changed ? [] : verdictsOf(scenario, runs);
  for (const verdict of verdicts) say(`${verdictLine(verdict)}  (${verdict.where})`);
  if (flags.changed && (scenario.bounds ?? scenario.growth) !== undefined)
    say('# not judged: the flags change the scenario');
  return { ok: ok && verdicts.every((verdict) => verdict.ok), runs, verdicts };
}

/** Runs of a scenario that cannot be divided run on one thread. */
function divided(options) {
  const whole = { ...options, shards: 1 };
  return shardProblems(simOptions(whole)).length > 0 ? whole : options;
}

/** What the runs of the shipping policy kept and what not. */
function verdictsOf(scenario, runs) {
  const judged = runs.filter(({ policy, report }) => policy === SHIPPING && report !== undefined);
  const verdicts = judged.flatMap(({ report }) =>
    judge(report, scenario.bounds?.[report.link] ?? {}).map((verdict) => ({
      ...verdict,
      where: `${report.agents} hosts, ${report.link}`,
    })),
  );
  const growth =
    scenario.growth &&
    judgeGrowth(
      judged.map(({ report }) => report),
      scenario.growth,
    );
  return growth === undefined ? verdicts : [...verdicts, { ...growth, where: judged[0].report.link }];
}
