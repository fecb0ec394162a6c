/** Progress lines: redrawn in place on a terminal, a line a second elsewhere. */

export interface ProgressLine {
  readonly label: string;
  doneBytes: number;
  totalBytes: number;
}

const BAR_CELLS = 30;

export class ProgressDisplay {
  readonly #lines: readonly ProgressLine[];
  readonly #out: NodeJS.WriteStream;
  readonly #timer: NodeJS.Timeout;
  readonly #startedAt = performance.now();
  #drawn = false;

  constructor(lines: readonly ProgressLine[], out: NodeJS.WriteStream = process.stdout) {
    this.#lines = lines;
    this.#out = out;
    this.#timer = setInterval(() => this.#draw(), out.isTTY ? 100 : 1000);
  }

  /** Draw once more and stop. */
  finish(): void {
    clearInterval(this.#timer);
    this.#draw();
  }

  #draw(): void {
    if (this.#out.isTTY && this.#drawn) this.#out.write(`\u001b[${this.#lines.length}A`);
    this.#drawn = true;
    for (const line of this.#lines) {
      const share = line.totalBytes === 0 ? 0 : line.doneBytes / line.totalBytes;
      const bar = '#'.repeat(Math.floor(share * BAR_CELLS)).padEnd(BAR_CELLS, '.');
      const seconds = (performance.now() - this.#startedAt) / 1000;
      const text = `  ${line.label.padEnd(10)} [${bar}] ${String(Math.floor(share * 100)).padStart(3)} %  ${mib(line.doneBytes).padStart(6)} MiB  ${seconds.toFixed(1)} s`;
      this.#out.write(this.#out.isTTY ? `\u001b[2K${text}\n` : `${text}\n`);
    }
  }
}

/** Whole or tenth MiB, without unit. */
export function mib(bytes: number): string {
  const value = bytes / 2 ** 20;
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}
