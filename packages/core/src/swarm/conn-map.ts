/**
 * A map by connection number that answers most questions from a small table of what was found last: one cache line, where
 * a `Map` of thousands that are in memory costs four. Everything else is the `Map`'s, the order too.
 */

/** Places of the table; a power of two. Guess: some times the connections of a torrent. */
const PLACES = 64;

export class ConnMap<Value extends { readonly conn: number }> extends Map<number, Value> {
  readonly #recent = new Array<Value | undefined>(PLACES).fill(undefined);

  override get(conn: number): Value | undefined {
    const recent = this.#recent[conn & (PLACES - 1)];
    if (recent !== undefined && recent.conn === conn) return recent;
    const found = super.get(conn);
    if (found !== undefined) this.#recent[conn & (PLACES - 1)] = found;
    return found;
  }

  override set(conn: number, value: Value): this {
    this.#recent[conn & (PLACES - 1)] = value;
    return super.set(conn, value);
  }

  override delete(conn: number): boolean {
    if (this.#recent[conn & (PLACES - 1)]?.conn === conn) this.#recent[conn & (PLACES - 1)] = undefined;
    return super.delete(conn);
  }

  override clear(): void {
    this.#recent.fill(undefined);
    super.clear();
  }
}
