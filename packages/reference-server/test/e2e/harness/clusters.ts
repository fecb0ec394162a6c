/** A cluster of separate role processes on loopback, with files written for the test. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { choosePorts } from '../../../dist/cluster/ports.js';
import { mountTmpfs, unmount } from './mounts.js';
import { startServer, stopProcess, untilHealthy, type StartedProcess } from './processes.js';

const HOST = '127.0.0.1';

/** The roles besides origins and agents, in the order of their start. */
const SHARED_ROLES = ['tracker', 'build-index', 'proxy'] as const;

export interface ProcessClusterOptions {
  readonly origins: number;
  readonly agents: number;
  readonly pieceLength?: string;
  /** Added to the files of a role, as YAML text. */
  readonly extra?: Partial<Record<'origin' | 'agent' | 'tracker' | 'proxy' | 'build-index', string>>;
  /**
   * Added to what one process is given, by its name: YAML (a key that is there already is replaced), flags, and a command
   * that starts it.
   */
  readonly own?: Readonly<
    Record<string, { readonly yaml?: string; readonly flags?: readonly string[]; readonly under?: readonly string[] }>
  >;
  /** Roles that run once; default: all, or none with `elsewhere`. */
  readonly shared?: readonly (typeof SHARED_ROLES)[number][];
  /** `host:port` of what is not started here, by name: tracker and build-index. */
  readonly elsewhere?: Readonly<Record<string, string>>;
  /** Added to the stores of origins and agents, as YAML in one line: `cache_cleanup: {…}`. */
  readonly stores?: string;
  /** YAML of `backends:` for origins; default the file backend. */
  readonly originBackends?: string;
}

export class ProcessCluster {
  readonly directory = mkdtempSync(join(tmpdir(), 'kraken-e2e-'));
  readonly processes = new Map<string, StartedProcess>();
  readonly #options: ProcessClusterOptions;
  #ports: Record<string, number> = {};
  readonly #arguments = new Map<string, string[]>();
  readonly #mounts: string[] = [];

  constructor(options: ProcessClusterOptions) {
    this.#options = options;
  }

  port(name: string): number {
    const port = this.#ports[name];
    if (port === undefined) throw new Error(`no port ${name}`);
    return port;
  }

  at(name: string): string {
    const address = this.#options.elsewhere?.[name];
    if (address !== undefined) return address;
    return `${HOST}:${this.port(name)}`;
  }

  path(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  process(name: string): StartedProcess {
    const found = this.processes.get(name);
    if (found === undefined) throw new Error(`no process ${name}`);
    return found;
  }

  /** Agents alone, with the tracker and the build-index of another cluster. */
  static agentsOf(elsewhere: Readonly<Record<'tracker' | 'build-index', string>>, agents: number): ProcessCluster {
    return new ProcessCluster({ origins: 0, agents, elsewhere });
  }

  /** Give a process a small file system of its own for all that it keeps. Before the start. */
  mount(name: string, mib: number): void {
    mountTmpfs(this.path(name), mib);
    this.#mounts.push(this.path(name));
  }

  /** Start everything; when something fails, what has started is stopped. */
  async start(): Promise<this> {
    const { origins, agents, elsewhere } = this.#options;
    const shared = this.#options.shared ?? (elsewhere === undefined ? SHARED_ROLES : []);
    const names: string[] = [...shared];
    for (let i = 1; i <= origins; i++) names.push(`origin-${i}`, `origin-${i} peer`);
    for (let i = 1; i <= agents; i++) names.push(`agent-${i}`, `agent-${i} peer`, `agent-${i} api`);
    this.#ports = await choosePorts(Object.fromEntries(names.map((name) => [name, 0])), HOST);
    try {
      for (let i = 1; i <= origins; i++) await this.startRole(`origin-${i}`);
      for (const name of shared) await this.startRole(name);
      for (let i = 1; i <= agents; i++) await this.startRole(`agent-${i}`);
    } catch (error) {
      await this.stop();
      throw error;
    }
    return this;
  }

  /** Start (again) one process and wait until it is healthy. */
  async startRole(name: string): Promise<StartedProcess> {
    const args = this.#arguments.get(name) ?? [...this.#prepare(name), ...(this.#options.own?.[name]?.flags ?? [])];
    this.#arguments.set(name, args);
    const started = startServer(name, args, this.path(name), {}, this.#options.own?.[name]?.under);
    this.processes.set(name, started);
    const healthPort = name.startsWith('agent') ? `${name} api` : name;
    await untilHealthy(started, `http://${this.at(healthPort)}/health`);
    return started;
  }

  /** Stop one process in order. */
  async halt(name: string): Promise<void> {
    await stopProcess(this.process(name));
  }

  /** End one process without a warning. */
  async kill(name: string): Promise<void> {
    this.process(name).child.kill('SIGKILL');
    await this.process(name).exited;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.processes.values()].reverse().map(async (started) => stopProcess(started)));
    for (const mount of this.#mounts.splice(0)) unmount(mount);
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Leave nothing behind, at once and without waiting: for a program that ends now. */
  abandon(): void {
    for (const { child } of this.processes.values()) child.kill('SIGKILL');
    for (const mount of this.#mounts.splice(0)) unmount(mount);
    // A process that is being killed may still write its last file.
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  #prepare(name: string): string[] {
    const role = name.replace(/-\d+$/, '') as 'origin' | 'agent' | 'tracker' | 'proxy' | 'build-index';
    mkdirSync(this.path(name), { recursive: true });
    const file = this.path(name, `${role}.yaml`);
    writeFileSync(
      file,
      `${this.#yaml(role, name)}\n${this.#options.extra?.[role] ?? ''}\n${this.#options.own?.[name]?.yaml ?? ''}\n`,
    );
    const config = ['--config', file];
    switch (role) {
      case 'origin':
        return [
          'origin',
          ...config,
          '--blobserver-hostname',
          HOST,
          '--blobserver-port',
          String(this.port(name)),
          '--peer-ip',
          HOST,
          '--peer-port',
          String(this.port(`${name} peer`)),
        ];
      case 'agent':
        return [
          'agent',
          ...config,
          '--agent-registry-port',
          String(this.port(name)),
          '--agent-server-port',
          String(this.port(`${name} api`)),
          '--peer-ip',
          HOST,
          '--peer-port',
          String(this.port(`${name} peer`)),
        ];
      default:
        return [role, ...config, '--port', String(this.port(name))];
    }
  }

  #yaml(role: string, name: string): string {
    const originHosts = Array.from({ length: this.#options.origins }, (_, i) => this.at(`origin-${i + 1}`));
    const hosts = (list: readonly string[]): string => `{hosts: {static: ${JSON.stringify(list)}}}`;
    const common = [
      'zap: {level: warn}',
      'tls: {server: {disabled: true}, client: {disabled: true}}',
      'access: {listen: 127.0.0.1, allowed_cidrs: [127.0.0.0/8]}',
    ];
    const store = this.#options.stores === undefined ? '' : `, ${this.#options.stores}`;
    const roleLines: Record<string, string[]> = {
      origin: [
        `cluster: {static: ${JSON.stringify(originHosts)}}`,
        `hashring: {max_replica: ${Math.min(2, originHosts.length)}}`,
        `castore: {upload_dir: ${this.path(name, 'upload')}, cache_dir: ${this.path(name, 'cache')}${store}}`,
        `localdb: {source: ${this.path(name, 'origin.db')}}`,
        `metainfogen: {piece_lengths: {0: ${this.#options.pieceLength ?? '1MB'}}}`,
        'writeback: {retry_interval: 500ms}',
        this.#options.originBackends ??
          `backends: [{namespace: '.*', backend: {file: {directory: ${this.path('storage', 'blobs')}, name_path: sharded_docker_blob}}}]`,
      ],
      tracker: [`origin: ${hosts(originHosts)}`, 'trackerserver: {announce_interval: 1s}'],
      'build-index': [
        `origin: ${hosts(originHosts)}`,
        `cluster: ${hosts([this.at('build-index')])}`,
        `store: {upload_dir: ${this.path(name, 'upload')}, cache_dir: ${this.path(name, 'cache')}}`,
        `localdb: {source: ${this.path(name, 'index.db')}}`,
        "tag_types: [{namespace: '.*', type: docker}]",
        `backends: [{namespace: '.*', backend: {file: {directory: ${this.path('storage', 'tags')}, name_path: docker_tag}}}]`,
        'writeback: {retry_interval: 500ms}',
      ],
      proxy: [
        `origin: ${hosts(originHosts)}`,
        `build_index: ${hosts([this.at('build-index')])}`,
        `castore: {upload_dir: ${this.path(name, 'upload')}, cache_dir: ${this.path(name, 'cache')}}`,
      ],
      agent: [
        `tracker: ${hosts([this.at('tracker')])}`,
        `build_index: ${hosts([this.at('build-index')])}`,
        `store: {download_dir: ${this.path(name, 'download')}, cache_dir: ${this.path(name, 'cache')}${store}}`,
      ],
    };
    return [...common, ...(roleLines[role] ?? [])].join('\n');
  }
}

export interface NodeStatsAnswer {
  readonly process: {
    readonly rssBytes: number;
    readonly eventLoopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
  };
  readonly node: Readonly<Record<string, unknown>> & {
    readonly bytesSent: number;
    readonly bytesReceived: number;
    readonly piecesReceived: number;
    readonly piecesDuplicate: number;
    readonly fromPeers: Readonly<Record<string, { readonly bytes: number; readonly origin: boolean }>>;
  };
}
