/**
 * The command line: the whole cluster, the demonstration, or one role. Prints for people; exit codes for scripts. What a
 * command needs is loaded by the command: a role does not pay for the demonstration.
 */
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isKrakenError } from '@kraken/core/errors';
import { ConfigError } from '../config/index.js';
import { createLogger } from '../telemetry/logger.js';
import { describeFlags, parseFlags, ROLE_FLAGS, UsageError, type RoleName } from './flags.js';
import { startRole } from './start-role.js';
import { onHangUp, untilStopped } from './signals.js';

const CLUSTER_FLAGS = {
  data: { type: 'text', says: 'directory for all data; default ./.kraken' },
  help: { type: 'flag', says: 'print this' },
} as const;
const DEMO_FLAGS = { ...CLUSTER_FLAGS, exit: { type: 'flag', says: 'stop after the summary' } } as const;

/** Time for requests under way when the process is asked to stop. */
const DRAIN_MS = 10_000;

/** @returns the exit code: 0 success, 1 failure, 2 usage or configuration */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const [command, ...rest] = args;
    if (command !== undefined && command in ROLE_FLAGS) return await runRole(command as RoleName, rest);
    if (command === 'demo') return await runDemoCommand(rest);
    if (command === undefined || command.startsWith('-')) return await runCluster(args);
    throw new UsageError(`unknown command: ${command}`);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${error.message}\n\n${usage()}`);
      return 2;
    }
    if (error instanceof ConfigError || isKrakenError(error, 'config-invalid')) {
      console.error(error.message);
      return 2;
    }
    console.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return 1;
  }
}

async function runCluster(args: readonly string[]): Promise<number> {
  const flags = parseFlags(CLUSTER_FLAGS, args);
  if (flags.help === true) {
    console.log(usage());
    return 0;
  }
  const dataDirectory = resolve(flags.data ?? '.kraken');
  const { startCluster } = await import('../cluster/embedded-cluster.js');
  const { formatRoles } = await import('../cluster/role-table.js');
  const { nextCommands } = await import('../demo/demo.js');
  const cluster = await startCluster({ dataDirectory, logger: createLogger('warn', {}) });
  console.log(`${formatRoles(cluster)}\nData in ${dataDirectory}. Ctrl-C stops.`);
  for (const line of nextCommands(cluster)) console.log(line);
  await untilStopped();
  await cluster.close(DRAIN_MS);
  return 0;
}

async function runDemoCommand(args: readonly string[]): Promise<number> {
  const flags = parseFlags(DEMO_FLAGS, args);
  if (flags.help === true) {
    console.log(`kraken-reference-server demo\n${describeFlags(DEMO_FLAGS)}`);
    return 0;
  }
  const dataDirectory = resolve(flags.data ?? join('.kraken', 'demo'));
  // The sample is new each time; what an earlier demonstration left is of no use.
  if (flags.data === undefined) rmSync(dataDirectory, { recursive: true, force: true });
  const { nextCommands, runDemo } = await import('../demo/demo.js');
  const { cluster, problems } = await runDemo(dataDirectory, createLogger('warn', {}), (line) => console.log(line));
  if (flags.exit !== true) {
    for (const line of nextCommands(cluster)) console.log(line);
    console.log('Serving until Ctrl-C.');
    await untilStopped();
  }
  await cluster.close(flags.exit === true ? 0 : DRAIN_MS);
  return problems.length === 0 ? 0 : 1;
}

async function runRole(name: RoleName, args: readonly string[]): Promise<number> {
  const running = await startRole(name, args);
  onHangUp(() => void running.reloadTls());
  await untilStopped();
  await running.close(DRAIN_MS);
  return 0;
}

function usage(): string {
  const roles = Object.entries(ROLE_FLAGS).map(
    ([name, flags]) => `kraken-reference-server ${name} [flags]\n${describeFlags(flags)}`,
  );
  return [
    'kraken-reference-server [--data DIR]    a whole cluster in this process, on loopback',
    'kraken-reference-server demo [--exit]   the same, with a sample image pushed and pulled',
    'kraken-reference-server ROLE [flags]    one role; flags with one or two dashes',
    '',
    ...roles,
  ].join('\n');
}
