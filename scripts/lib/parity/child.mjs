// A child process that answers commands over its channel, one answer each.
import { fork } from 'node:child_process';

export class Child {
  #child;
  #waiting = new Map();
  #ids = 0;
  #gone;

  /** @param {string} name for failures @param {string} script beside this file */
  constructor(name, script) {
    this.name = name;
    this.#child = fork(new URL(script, import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child.on('message', ({ id, result, error }) => {
      const wait = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) wait?.resolve(result);
      else wait?.reject(new Error(`${name}: ${error}`));
    });
    this.exited = new Promise((resolve) => {
      const over = (how) => {
        this.#gone = new Error(`${name} ended: ${how}`);
        for (const { reject } of this.#waiting.values()) reject(this.#gone);
        this.#waiting.clear();
        resolve();
      };
      this.#child.once('error', (error) => over(error.message));
      this.#child.once('exit', (code, signal) => over(code ?? signal));
    });
  }

  ask(command, input = {}, limitMs = 60_000) {
    return new Promise((resolve, reject) => {
      if (this.#gone !== undefined) {
        reject(this.#gone);
        return;
      }
      const id = ++this.#ids;
      const timer = setTimeout(() => reject(new Error(`${this.name}: no answer to ${command} within ${limitMs} ms`)), limitMs);
      const settle = (settled) => (value) => {
        clearTimeout(timer);
        settled(value);
      };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      this.#child.send({ id, command, ...input });
    });
  }

  /** Ask to stop, wait, then kill. */
  async stop(graceMs = 10_000) {
    if (this.#gone !== undefined) return;
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
    await this.ask('stop', {}, graceMs).catch(() => this.#child.kill('SIGKILL'));
    await this.exited;
    clearTimeout(timer);
  }
}
