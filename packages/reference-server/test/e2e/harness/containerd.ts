/** A containerd of the test's own, without CRI. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, startProcess, stopProcess, type StartedProcess } from './processes.js';

export class Containerd {
  readonly #started: StartedProcess;
  readonly #socket: string;

  private constructor(started: StartedProcess, socket: string) {
    this.#started = started;
    this.#socket = socket;
  }

  static async start(directory: string): Promise<Containerd> {
    mkdirSync(directory, { recursive: true });
    const socket = join(directory, 'c.sock');
    const plugins = ['cri', 'btrfs', 'aufs', 'zfs', 'devmapper'].map((name) =>
      name === 'cri' ? 'io.containerd.grpc.v1.cri' : `io.containerd.snapshotter.v1.${name}`,
    );
    const config = join(directory, 'config.toml');
    writeFileSync(
      config,
      `version = 2\nroot = "${join(directory, 'root')}"\nstate = "${join(directory, 'state')}"\ndisabled_plugins = ${JSON.stringify(plugins)}\n[grpc]\n  address = "${socket}"\n`,
    );
    const containerd = new Containerd(
      startProcess('containerd', 'containerd', ['--config', config], { cwd: directory }),
      socket,
    );
    for (let i = 0; ; i++) {
      try {
        await containerd.ctr('version');
        return containerd;
      } catch (error) {
        if (i > 100) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  ctr(...args: string[]): Promise<string> {
    return run('ctr', ['-a', this.#socket, ...args]);
  }

  async stop(): Promise<void> {
    await stopProcess(this.#started);
  }
}
