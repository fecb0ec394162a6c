/** Real processes in tests: started, watched, stopped by id. Output is kept for failures. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { request } from 'undici';

/** Repository root, from `packages/reference-server/dist-test/e2e/harness/`. */
export const ROOT = new URL('../../../../../', import.meta.url).pathname;
const SERVER = new URL('../../../bin/kraken-reference-server.cjs', import.meta.url).pathname;
const OUTPUT_MAX = 200_000;
/** A start takes a fraction of a second; a machine with other work may take far longer. */
const HEALTHY_LIMIT_MS = 60_000;

export interface StartedProcess {
  readonly name: string;
  readonly child: ChildProcess;
  /** Last part of standard output and error. */
  output(): string;
  /** Exit code, or the signal's name. */
  readonly exited: Promise<number | string>;
}

export function startProcess(
  name: string,
  command: string,
  args: readonly string[],
  options: { cwd: string; env?: Record<string, string> },
): StartedProcess {
  mkdirSync(options.cwd, { recursive: true });
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (part: Buffer): void => {
    output = (output + part.toString('utf8')).slice(-OUTPUT_MAX);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const exited = new Promise<number | string>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  // Somebody may never ask; a failed spawn then shows as a missing health answer.
  exited.catch(() => undefined);
  return { name, child, output: () => output, exited };
}

/** One role of the reference server. @param under a command that starts what follows it, e.g. with fewer rights */
export function startServer(
  name: string,
  args: readonly string[],
  cwd: string,
  env: Record<string, string> = {},
  under: readonly string[] = [],
): StartedProcess {
  const [command, ...rest] = [...under, process.execPath, SERVER, ...args] as [string, ...string[]];
  return startProcess(name, command, rest, { cwd, env });
}

/** Ask until `url` answers 200. */
export async function untilHealthy(
  started: StartedProcess,
  url: string,
  limitMs = HEALTHY_LIMIT_MS,
  dispatcher?: Parameters<typeof request>[1],
): Promise<void> {
  // Not the time of day: that jumps when a virtual machine is paused.
  const deadline = performance.now() + limitMs;
  for (;;) {
    if (started.child.exitCode !== null)
      throw new Error(`${started.name} ended with ${started.child.exitCode}:\n${started.output()}`);
    try {
      const response = await request(url, { ...dispatcher, headersTimeout: 2000 });
      await response.body.dump();
      if (response.statusCode === 200) return;
    } catch {
      // Not listening yet.
    }
    if (performance.now() > deadline)
      throw new Error(`${started.name} is not healthy after ${limitMs} ms:\n${started.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Ask to stop, wait, then kill. Returns the exit code. */
export async function stopProcess(started: StartedProcess, graceMs = 15_000): Promise<number | string> {
  if (started.child.exitCode !== null || started.child.signalCode !== null) return started.exited;
  started.child.kill('SIGTERM');
  const timer = setTimeout(() => started.child.kill('SIGKILL'), graceMs);
  try {
    return await started.exited;
  } finally {
    clearTimeout(timer);
  }
}

/** Run a command to its end. @throws Error with its output when it fails */
export async function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; limitMs?: number } = {},
): Promise<string> {
  const started = startProcess(command, command, args, {
    cwd: options.cwd ?? process.cwd(),
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  const timer = setTimeout(() => started.child.kill('SIGKILL'), options.limitMs ?? 120_000);
  const code = await started.exited.finally(() => clearTimeout(timer));
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${started.output()}`);
  return started.output();
}

/** Peak resident memory of a process in bytes (Linux). */
export function peakRssBytes(started: StartedProcess): number {
  const status = readFileSync(`/proc/${started.child.pid ?? 0}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}
