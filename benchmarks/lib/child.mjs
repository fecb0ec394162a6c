// A process under measurement that speaks JSON lines: commands in on stdin, events out on stdout. Owns the process and its
// end. What it says on stderr is shown when it fails.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const EVENT_TIMEOUT_MS = 180_000;
const STOP_GRACE_MS = 2000;

export class Child {
  #process;
  #events = [];
  #waiting = new Set();
  #stderr = '';
  #ended;
  startedAt = performance.now();

  /** @param {string} name for messages */
  constructor(name, command, args, options = {}) {
    this.name = name;
    this.#process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    this.#process.stderr.on('data', (data) => {
      this.#stderr = (this.#stderr + data).slice(-4000);
    });
    this.#process.stdin.on('error', () => {
      // The process has ended; its exit says more.
    });
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      // The time at which it came, not at which somebody looked.
      this.#events.push({ ...JSON.parse(line), at: performance.now() });
      this.#wake();
    });
    this.exited = new Promise((resolve) => {
      this.#process.once('error', (error) => this.#end(error.message, resolve));
      this.#process.once('exit', (code, signal) => this.#end(`exit ${code ?? signal}`, resolve));
    });
  }

  get pid() {
    return this.#process.pid;
  }

  send(command) {
    this.#process.stdin.write(`${JSON.stringify(command)}\n`);
  }

  /** The next event of that name; the ones before it are dropped. Rejects when the process ends first. */
  async next(event) {
    const deadline = performance.now() + EVENT_TIMEOUT_MS;
    for (;;) {
      const at = this.#events.findIndex((seen) => seen.event === event);
      if (at !== -1) return this.#events.splice(0, at + 1)[at];
      if (this.#ended !== undefined) throw new Error(`${this.name} ended (${this.#ended})\n${this.#stderr}`);
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`${this.name}: no ${event} within ${EVENT_TIMEOUT_MS / 1000} s\n${this.#stderr}`);
      await new Promise((resolve) => {
        const timer = setTimeout(wake, left);
        const { waiting } = this;
        function wake() {
          clearTimeout(timer);
          waiting.delete(wake);
          resolve();
        }
        waiting.add(wake);
      });
    }
  }

  get waiting() {
    return this.#waiting;
  }

  /** End it and wait until it is gone: by the end of its input, or by force. */
  async stop() {
    this.#process.stdin.end();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_GRACE_MS);
    await this.exited;
    clearTimeout(timer);
  }

  #end(how, resolve) {
    this.#ended ??= how;
    this.#wake();
    resolve();
  }

  #wake() {
    for (const wake of [...this.#waiting]) wake();
  }
}
