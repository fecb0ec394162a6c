/**
 * Counts the tasks that Go Kraken left in its local database, so that an origin or a build-index does not start over
 * them. Owns just enough of the SQLite 3 file format: the schema table and counting rows of a table b-tree. Never
 * writes, never reads a row. Source: spec origin-store-backends.md §6.1; SQLite "Database File Format".
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { KrakenError } from '@kraken/core/errors';

/** Unfinished tasks of each kind, whatever their status: Go deletes a task when it is done. */
export interface PendingTasks {
  readonly writeback: number;
  readonly replicateTag: number;
}

const WRITEBACK_TABLE = 'writeback_task';
const REPLICATE_TAG_TABLE = 'replicate_tag_task';

const HEADER_MAGIC = 'SQLite format 3\0';
const JOURNAL_MAGIC = Buffer.from('d9d505f920a163d7', 'hex');
const HEADER_BYTES = 100;
const UTF_8 = 1;
const WRITE_AHEAD_LOG = 2;
const LEAF = 0x0d;
const INTERIOR = 0x05;
const LEAF_HEADER_BYTES = 8;
const INTERIOR_HEADER_BYTES = 12;
/** Pages read for one table; beyond (a gigabyte of tasks with Go's page size) the count is a lower bound. */
const PAGES_MAX = 262_144;
/** Kraken has two tables, SQLite and goose a few more. */
const SCHEMA_ROWS_MAX = 10_000;

/**
 * @param file `localdb.source` of the Go node
 * @returns `undefined` when the file does not exist or is empty
 * @throws KrakenError `config-invalid` naming the file when it cannot be read, is not an SQLite database of Go Kraken,
 *   is damaged, or was left in the middle of a transaction
 */
export function pendingTasksOf(file: string): PendingTasks | undefined {
  const refuse = (problem: string, cause?: unknown): KrakenError =>
    new KrakenError('config-invalid', `localdb.source: ${file}: ${problem}`, cause === undefined ? {} : { cause });
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw refuse(`cannot be opened: ${String(cause)}`, cause);
  }
  try {
    const lengthBytes = fstatSync(fd).size;
    if (fstatSync(fd).isFile() && lengthBytes === 0) return undefined;
    requireQuietJournals(file);
    const database = Database.open(fd, lengthBytes);
    const roots = database.tableRoots();
    const count = (table: string): number => {
      const root = roots.get(table);
      return root === undefined ? 0 : database.countRows(root);
    };
    return { writeback: count(WRITEBACK_TABLE), replicateTag: count(REPLICATE_TAG_TABLE) };
  } catch (cause) {
    if (cause instanceof Unreadable) throw refuse(cause.message, cause);
    throw refuse(`cannot be read: ${String(cause)}`, cause);
  } finally {
    closeSync(fd);
  }
}

/** The file is not what we can count in. The message is for the operator. */
class Unreadable extends Error {}

const damaged = (what: string): Unreadable => new Unreadable(`is damaged: ${what}`);

/** What stands in the main file is not what was committed while a journal has to be played back or a log holds pages. */
function requireQuietJournals(file: string): void {
  const advice = 'start and stop the Go binary once, so that it recovers the database';
  if (startOf(`${file}-journal`, JOURNAL_MAGIC.length)?.equals(JOURNAL_MAGIC) === true)
    throw new Unreadable(`was left in the middle of a transaction (${file}-journal); ${advice}`);
  if ((startOf(`${file}-wal`, 1)?.length ?? 0) > 0)
    throw new Unreadable(`has changes outside the file (${file}-wal); ${advice}`);
}

/** The first bytes of a file, fewer when it is shorter; `undefined` when there is none. */
function startOf(file: string, lengthBytes: number): Buffer | undefined {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw cause;
  }
  try {
    const start = Buffer.alloc(lengthBytes);
    return start.subarray(0, readSync(fd, start, 0, lengthBytes, 0));
  } finally {
    closeSync(fd);
  }
}

/** One page of a table b-tree. */
interface Page {
  readonly bytes: Buffer;
  readonly isLeaf: boolean;
  readonly cellCount: number;
  /** Where the cells stand in the page. */
  cellOffset(index: number): number;
  /** Pages below; none for a leaf. */
  children(): number[];
}

class Database {
  readonly #fd: number;
  readonly #pageBytes: number;
  /** Bytes of a page that SQLite uses; the rest belongs to extensions. */
  readonly #usableBytes: number;
  readonly #pageCount: number;

  private constructor(fd: number, pageBytes: number, reservedBytes: number, lengthBytes: number) {
    this.#fd = fd;
    this.#pageBytes = pageBytes;
    this.#usableBytes = pageBytes - reservedBytes;
    this.#pageCount = Math.floor(lengthBytes / pageBytes);
  }

  static open(fd: number, lengthBytes: number): Database {
    const header = Buffer.alloc(HEADER_BYTES);
    const read = readSync(fd, header, 0, HEADER_BYTES, 0);
    if (read < HEADER_BYTES || header.toString('latin1', 0, 16) !== HEADER_MAGIC)
      throw new Unreadable('is not an SQLite 3 database');
    const stored = header.readUInt16BE(16);
    const pageBytes = stored === 1 ? 65_536 : stored;
    const reservedBytes = header.readUInt8(20);
    if (pageBytes < 512 || (pageBytes & (pageBytes - 1)) !== 0 || pageBytes - reservedBytes < 480)
      throw damaged(`page size ${pageBytes}, ${reservedBytes} bytes reserved`);
    if (header.readUInt8(19) > WRITE_AHEAD_LOG) throw new Unreadable('needs a newer SQLite than is known here');
    const encoding = header.readUInt32BE(56);
    // Zero: nothing was ever stored.
    if (encoding > UTF_8) throw new Unreadable('is not in UTF-8, so Go Kraken did not write it');
    return new Database(fd, pageBytes, reservedBytes, lengthBytes);
  }

  /** Tables and where their b-trees begin. SQLite's names ignore case; these are lower-case. */
  tableRoots(): ReadonlyMap<string, number> {
    const roots = new Map<string, number>();
    let rows = 0;
    for (const page of this.#pages(1)) {
      if (!page.isLeaf) continue;
      rows += page.cellCount;
      if (rows > SCHEMA_ROWS_MAX) throw damaged('too many tables');
      for (let i = 0; i < page.cellCount; i++) {
        const entry = readSchemaEntry(page.bytes, page.cellOffset(i), this.#usableBytes);
        if (entry?.type === 'table') roots.set(entry.name.toLowerCase(), entry.rootPage);
      }
    }
    return roots;
  }

  /** Rows of the table that begins at `root`. */
  countRows(root: number): number {
    let rows = 0;
    let pages = 0;
    for (const page of this.#pages(root)) {
      if (page.isLeaf) rows += page.cellCount;
      pages += 1;
      if (pages === PAGES_MAX) break;
    }
    return rows;
  }

  *#pages(root: number): Generator<Page> {
    const seen = new Set<number>();
    const waiting = [root];
    for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
      if (seen.has(number)) throw damaged(`page ${number} has two parents`);
      seen.add(number);
      const page = this.#read(number);
      yield page;
      for (const child of page.children()) waiting.push(child);
    }
  }

  #read(number: number): Page {
    if (number < 1 || number > this.#pageCount) throw damaged(`page ${number} of ${this.#pageCount}`);
    const bytes = Buffer.alloc(this.#pageBytes);
    if (readSync(this.#fd, bytes, 0, bytes.length, (number - 1) * this.#pageBytes) < bytes.length)
      throw damaged(`page ${number} is cut off`);
    const at = number === 1 ? HEADER_BYTES : 0;
    const type = bytes.readUInt8(at);
    if (type !== LEAF && type !== INTERIOR) throw damaged(`page ${number} has type ${type}, not that of a table`);
    const isLeaf = type === LEAF;
    const cellCount = bytes.readUInt16BE(at + 3);
    const pointers = at + (isLeaf ? LEAF_HEADER_BYTES : INTERIOR_HEADER_BYTES);
    const end = this.#usableBytes;
    if (pointers + 2 * cellCount > end) throw damaged(`page ${number} claims ${cellCount} cells`);
    const cellOffset = (index: number): number => {
      const offset = bytes.readUInt16BE(pointers + 2 * index);
      // The shortest cell, and the number of the page below in an interior one, take four bytes.
      if (offset < pointers + 2 * cellCount || offset + 4 > end) throw damaged(`page ${number}, cell ${index}`);
      return offset;
    };
    const children = (): number[] => {
      if (isLeaf) return [];
      const below = Array.from({ length: cellCount }, (_, i) => bytes.readUInt32BE(cellOffset(i)));
      return [...below, bytes.readUInt32BE(at + LEAF_HEADER_BYTES)];
    };
    return { bytes, isLeaf, cellCount, cellOffset, children };
  }
}

interface SchemaEntry {
  readonly type: string;
  readonly name: string;
  readonly rootPage: number;
}

/**
 * A row of the schema table: type, name, tbl_name, rootpage, sql. The first four stand in the page; the text of the
 * statement may go on in overflow pages, which nobody needs.
 * @returns `undefined` for what has no b-tree of its own (views, triggers)
 */
function readSchemaEntry(page: Buffer, offset: number, end: number): SchemaEntry | undefined {
  const bytes = new CellReader(page, offset, end);
  const recordBytes = bytes.varint();
  bytes.varint(); // row id
  bytes.end = bytes.at + bytesInPage(recordBytes, end);
  const headerStart = bytes.at;
  const headerBytes = bytes.varint();
  const serials = [bytes.varint(), bytes.varint(), bytes.varint(), bytes.varint()] as const;
  bytes.at = headerStart + headerBytes;
  const type = bytes.text(serials[0]);
  const name = bytes.text(serials[1]);
  bytes.text(serials[2]);
  const rootPage = bytes.integer(serials[3]);
  return rootPage === 0 ? undefined : { type, name, rootPage };
}

/** How much of a record stands in its leaf page of `usableBytes`; the rest is in overflow pages. */
function bytesInPage(recordBytes: number, usableBytes: number): number {
  const most = usableBytes - 35;
  if (recordBytes <= most) return recordBytes;
  const least = Math.floor(((usableBytes - 12) * 32) / 255) - 23;
  const filling = least + ((recordBytes - least) % (usableBytes - 4));
  return filling <= most ? filling : least;
}

/** Reads SQLite's integers and texts; running over the end of the page is damage. */
class CellReader {
  at: number;
  readonly #page: Buffer;
  readonly #pageEnd: number;
  #end: number;

  constructor(page: Buffer, at: number, end: number) {
    this.#page = page;
    this.at = at;
    this.#pageEnd = end;
    this.#end = end;
  }

  /** Nothing is read from here on; never beyond the page. */
  set end(end: number) {
    this.#end = Math.min(end, this.#pageEnd);
  }

  /** Up to nine bytes, seven bits each, the ninth whole. */
  varint(): number {
    let value = 0;
    for (let i = 0; i < 9; i++) {
      const byte = this.#page.readUInt8(this.#take(1));
      value = i === 8 ? value * 256 + byte : value * 128 + (byte & 0x7f);
      if (byte < 0x80) break;
    }
    return value;
  }

  /** A column with this serial type; NULL reads as no text. */
  text(serial: number): string {
    if (serial === 0) return '';
    if (serial < 13 || serial % 2 === 0) throw damaged(`a name of type ${serial}`);
    const lengthBytes = (serial - 13) / 2;
    const start = this.#take(lengthBytes);
    return this.#page.toString('utf8', start, start + lengthBytes);
  }

  /** A page number with this serial type; NULL reads as 0. */
  integer(serial: number): number {
    if (serial === 0 || serial === 8) return 0;
    if (serial === 9) return 1;
    if (serial > 4) throw damaged(`a page number of type ${serial}`);
    return this.#page.readUIntBE(this.#take(serial), serial);
  }

  #take(lengthBytes: number): number {
    const start = this.at;
    if (start + lengthBytes > this.#end) throw damaged('a cell runs out of its page');
    this.at = start + lengthBytes;
    return start;
  }
}
