/** Configuration problems: collected all at once, each with key, what was found and what was expected. */

export interface Problem {
  /** Dotted path with list indexes, e.g. `backends[0].namespace`. */
  readonly key: string;
  readonly got: string;
  readonly expected: string;
  /** File it stands in, and 1-based line when known. */
  readonly file?: string;
  readonly line?: number;
}

/** The configuration cannot be used. The process that was started with it exits with code 2. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    super(
      `invalid configuration (${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}):\n${problems.map(formatProblem).join('\n')}`,
    );
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** One problem on one line. */
export function formatProblem(problem: Problem): string {
  const where =
    problem.file === undefined ? '' : `${problem.file}${problem.line === undefined ? '' : `:${problem.line}`}: `;
  return `  ${where}${problem.key}: expected ${problem.expected}, got ${problem.got}`;
}

/** The candidate that is nearest to `word` (edit distance ≤ 3 and less than half of its length). */
export function suggest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.min(3, Math.floor(word.length / 2)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(
        Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)),
      );
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
