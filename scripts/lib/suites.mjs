// Runs test suites one after the other, each with a time limit, and counts what they report.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { root } from './ensure-built.mjs';

/**
 * One suite. `tap: true`: the command prints TAP and its `ok` / `not ok` lines are counted; otherwise the
 * command is one test that passes with exit code 0. `counts: true`: its closing line `N passed, N failed` is counted.
 * @typedef {{ name: string, command: string, args: string[], tap?: boolean, counts?: boolean, limitSeconds: number, env?: Record<string, string> }} Suite
 */

/** @param {Suite[]} suites @returns {Promise<{passed: number, failed: number, skipped: number}>} */
export async function runSuites(suites) {
  const results = [];
  const rows = [];
  for (const suite of suites) {
    console.log(`\n=== ${suite.name} (limit ${suite.limitSeconds} s)`);
    const started = process.hrtime.bigint();
    const result = await runSuite(suite);
    const seconds = Number(process.hrtime.bigint() - started) / 1e9;
    results.push(result);
    rows.push(`${result.failed === 0 ? 'ok  ' : 'FAIL'} ${suite.name.padEnd(44)} ${String(result.passed).padStart(4)} passed ${String(result.failed).padStart(3)} failed ${seconds.toFixed(1).padStart(7)} s`);
    console.log(rows.at(-1));
  }
  console.log(`\n${rows.join('\n')}\n`);
  return sum(results);
}

/** What several suites, or groups of them, came to. */
export function sum(totals) {
  const all = { passed: 0, failed: 0, skipped: 0 };
  for (const total of totals) for (const key of Object.keys(all)) all[key] += total[key];
  return all;
}

/** Prints the closing line and leaves with the right code. */
export function finish({ passed, failed, skipped }) {
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  process.exit(failed > 0 || passed === 0 ? 1 : 0);
}

function runSuite(suite) {
  return new Promise((resolve) => {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    const child = spawn(suite.command, suite.args, {
      cwd: root,
      detached: true, // its own process group, so that the limit ends everything it started
      stdio: ['ignore', suite.tap || suite.counts ? 'pipe' : 'inherit', 'inherit'],
      env: { ...process.env, ...suite.env },
    });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child.pid);
    }, suite.limitSeconds * 1000);
    if (suite.tap) {
      let detail = false;
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (/^not ok /.test(line)) {
          counts.failed++;
          detail = true;
          console.log(line);
        } else if (/^ok .* # SKIP/.test(line)) {
          counts.skipped++;
          console.log(line);
        } else if (/^ok /.test(line)) {
          counts.passed++;
          detail = false;
        } else if (detail || /^# /.test(line)) {
          if (!/^# (tests|pass|fail|skip)/.test(line)) console.log(line);
        }
      });
    }
    let closing;
    if (suite.counts) {
      createInterface({ input: child.stdout }).on('line', (line) => {
        closing = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/.exec(line) ?? closing;
        console.log(line);
      });
    }
    child.on('error', (error) => {
      console.log(String(error));
      counts.failed++;
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      killGroup(child.pid);
      if (timedOut) {
        console.log(`time limit of ${suite.limitSeconds} s reached`);
        counts.failed++;
      } else if (suite.counts) {
        if (closing) [counts.passed, counts.failed, counts.skipped] = closing.slice(1, 4).map((n) => Number(n ?? 0));
        if (!closing || (code !== 0 && counts.failed === 0)) counts.failed++;
      } else if (!suite.tap) {
        if (code === 0) counts.passed++;
        else counts.failed++;
      } else if (code !== 0 && counts.failed === 0) {
        counts.failed++;
      }
      resolve(counts);
    });
  });
}

function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group has ended already.
  }
}
