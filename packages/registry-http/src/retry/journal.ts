/**
 * A crash-safe list of JSON records in one file: what the retry queues stand on.
 *
 * Owns the file format (one record a line: CRC-32 of the JSON as 8 hex digits, a space, the JSON), group commit (all
 * records that wait are written and synced together; `append` resolves when they are on disk) and compaction (a new file
 * that replaces the old one by rename). Never knows what a record means.
 *
 * A line that a crash cut off is dropped when the file is opened. A damaged line elsewhere is skipped and counted: one bad
 * sector must not lose every task behind it.
 */
import { mkdir, open, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { KrakenError, asKrakenError } from '@kraken/core/errors';

/** A value that survives JSON unchanged. */
export type JournalRecord = Readonly<Record<string, unknown>>;

export interface OpenedJournal {
  readonly journal: Journal;
  /** Records that were on disk, oldest first. */
  readonly records: readonly JournalRecord[];
  /** Complete lines that were not valid records. */
  readonly damaged: number;
}

interface Waiting {
  readonly line: string;
  resolve(): void;
  reject(error: unknown): void;
}

/** Upper bound of one record, so that a corrupt length can never ask for all memory. Source: a guess; a task is about 300 bytes. */
const RECORD_MAX_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

export class Journal {
  readonly #path: string;
  readonly #snapshot: () => Iterable<JournalRecord>;
  #handle: FileHandle;
  #sizeBytes: number;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | undefined;
  #compactRequested = false;
  /** After a failed write or sync the file's end is unknown: the next flush writes a new file instead. */
  #broken = false;
  #closed = false;

  private constructor(path: string, handle: FileHandle, sizeBytes: number, snapshot: () => Iterable<JournalRecord>) {
    this.#path = path;
    this.#handle = handle;
    this.#sizeBytes = sizeBytes;
    this.#snapshot = snapshot;
  }

  /**
   * Open or create the file at `path`, with its folder.
   * @param snapshot every record that compaction must keep, in the state after all appends made so far
   * @throws KrakenError `io-error`
   */
  static async open(path: string, snapshot: () => Iterable<JournalRecord>): Promise<OpenedJournal> {
    try {
      await mkdir(dirname(path), { recursive: true });
      // A temporary file of a compaction that did not finish; the journal itself is whole.
      await rm(`${path}.tmp`, { force: true });
      const handle = await open(path, 'a+');
      try {
        const bytes = await readFile(handle);
        const { records, damaged, endBytes } = parseLines(bytes);
        if (endBytes < bytes.length) {
          await handle.truncate(endBytes);
          await handle.datasync();
        }
        await syncDirectory(dirname(path));
        return { journal: new Journal(path, handle, endBytes, snapshot), records, damaged };
      } catch (error) {
        await handle.close();
        throw error;
      }
    } catch (error) {
      throw asKrakenError(error, 'io-error');
    }
  }

  /** Bytes of the file. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /**
   * Durable when it resolves. Records of one call stay together.
   * @throws KrakenError `disk-full`, `io-error`, `shutting-down`
   */
  append(...records: readonly JournalRecord[]): Promise<void> {
    if (this.#closed) return Promise.reject(new KrakenError('shutting-down', 'the retry journal is closed'));
    const line = records.map(encodeLine).join('');
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  /** Write a new file with the snapshot alone before the next append, or now. Resolves when everything asked so far is on disk. */
  async compact(): Promise<void> {
    if (this.#closed) return;
    this.#compactRequested = true;
    this.#flushing ??= this.#flush();
    await this.#flushing;
  }

  /** Waits for what was appended. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    while (this.#flushing !== undefined) await this.#flushing;
    await this.#handle.close();
  }

  async #flush(): Promise<void> {
    // One turn of the event loop gathers everything that is appended in it.
    await Promise.resolve();
    while (this.#waiting.length > 0 || this.#compactRequested) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        // A snapshot taken now already contains the batch: its owner changed its state before it appended.
        if (this.#compactRequested || this.#broken) await this.#rewrite();
        else await this.#write(batch.map((waiting) => waiting.line).join(''));
        for (const waiting of batch) waiting.resolve();
      } catch (error) {
        this.#compactRequested = false;
        this.#broken = true;
        const coded = asKrakenError(error, isDiskFull(error) ? 'disk-full' : 'io-error');
        for (const waiting of batch) waiting.reject(coded);
      }
    }
    this.#flushing = undefined;
  }

  async #write(text: string): Promise<void> {
    const bytes = Buffer.from(text, 'utf8');
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await this.#handle.write(bytes, written);
      written += bytesWritten;
    }
    await this.#handle.datasync();
    this.#sizeBytes += bytes.length;
  }

  async #rewrite(): Promise<void> {
    this.#compactRequested = false;
    const temporary = `${this.#path}.tmp`;
    const text = Array.from(this.#snapshot(), encodeLine).join('');
    const handle = await open(temporary, 'w');
    try {
      await handle.writeFile(text, 'utf8');
      await handle.datasync();
      await rename(temporary, this.#path);
      await syncDirectory(dirname(this.#path));
    } catch (error) {
      await handle.close();
      await rm(temporary, { force: true });
      throw error;
    }
    await handle.close();
    const previous = this.#handle;
    this.#handle = await open(this.#path, 'a+');
    await previous.close();
    this.#sizeBytes = Buffer.byteLength(text);
    this.#broken = false;
  }
}

function encodeLine(record: JournalRecord): string {
  const json = JSON.stringify(record);
  if (json.length > RECORD_MAX_BYTES)
    throw new RangeError(`journal record expected at most ${RECORD_MAX_BYTES} characters, got ${json.length}`);
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
}

function parseLines(bytes: Buffer): { records: JournalRecord[]; damaged: number; endBytes: number } {
  const records: JournalRecord[] = [];
  let damaged = 0;
  let start = 0;
  for (;;) {
    const end = bytes.indexOf(NEWLINE, start);
    if (end === -1) return { records, damaged, endBytes: start };
    const record = decodeLine(bytes.toString('utf8', start, end));
    if (record === undefined) damaged++;
    else records.push(record);
    start = end + 1;
  }
}

function decodeLine(line: string): JournalRecord | undefined {
  const json = line.slice(9);
  if (!/^[0-9a-f]{8} /.test(line) || crc32(json) !== Number.parseInt(line.slice(0, 8), 16)) return undefined;
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as JournalRecord) : undefined;
  } catch {
    // The checksum fits but it is not JSON: another program's file. Counted as damaged by the caller.
    return undefined;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}
