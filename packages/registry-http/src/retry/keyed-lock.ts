/** One at a time per key. Owns who waits for whom; a key without waiters costs nothing. */
export class KeyedLock<K> {
  readonly #tails = new Map<K, Promise<void>>();

  /** Run `task` after everything that was asked for this key before. */
  async run<T>(key: K, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    let release = (): void => undefined;
    const tail = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#tails.set(key, tail);
    await before;
    try {
      return await task();
    } finally {
      release();
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}
