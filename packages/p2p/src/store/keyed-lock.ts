/**
 * One task at a time per key, in order of arrival. Owns the queues; a key without tasks takes no memory.
 * Never held while a blob is hashed or streamed, only while its files change place.
 */
export class KeyedLock<Key> {
  readonly #tails = new Map<Key, Promise<void>>();

  /** Run `task` after all earlier tasks of `key`, whether they failed or not. */
  run<T>(key: Key, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const result = before === undefined ? task() : before.then(task);
    const tail = result.then(
      () => undefined,
      // The caller of `run` gets the error; the next task must start all the same.
      () => undefined,
    );
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return result;
  }

  /** True while a task of `key` runs or waits. */
  isBusy(key: Key): boolean {
    return this.#tails.has(key);
  }

  /** Resolves when every task that has been given so far is over. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }
}
